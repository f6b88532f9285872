//! Processes that outlive the one that started them, and are known again by pid and start time.

use crate::engine::Lab;

/// The environment of every component: the caller's own is not passed on, because proxy and certificate variables of
/// a shell change what the Python clients do.
pub(crate) fn environment(lab: &Lab) -> Vec<(String, String)> {
    [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("LANG", "C.UTF-8"),
        ("no_proxy", "*"),
        ("TMPDIR", &lab.tmp().to_string_lossy()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}
