//! uwsgi, which serves the WSGI applications.

use anyhow::Result;

use super::python;
use crate::{
    engine::{CONTROL, Lab, Program},
    node::control_address,
};

/// A WSGI application and how much of the machine it may take.
pub(super) struct Application<'a> {
    /// The port, on the control address and on loopback.
    pub port: u16,
    /// Processes: more than one only where the work is worth the memory.
    pub processes: u8,
    /// Threads per process.
    pub threads: u8,
    /// What tells uwsgi which application to load.
    pub options: &'a [&'a str],
}

/// The uwsgi process that serves an application.
pub(super) fn serve(lab: &Lab, application: &Application<'_>) -> Result<Program> {
    let port = application.port;
    let program = Program::new("uwsgi_python3")
        .args(["--pythonpath".to_owned(), python::site_packages(lab)?.display().to_string()])
        .args(["--master", "--die-on-term", "--no-orphans", "--lazy-apps", "--need-app"])
        .args(["--http-socket".to_owned(), format!("{}:{port}", control_address())])
        .args(["--http-socket".to_owned(), format!("127.0.0.1:{port}")])
        .args(["--processes".to_owned(), application.processes.to_string()])
        .args(["--threads".to_owned(), application.threads.to_string()])
        .args(["--enable-threads", "--thunder-lock", "--listen", "128", "--worker-reload-mercy", "5"])
        // Keystone's tokens and Neutron's filters make long headers and query strings.
        .args(["--buffer-size", "65535", "--so-keepalive", "--add-header", "Connection: close"])
        .arg("--disable-logging")
        .args(application.options.iter().copied())
        .netns(CONTROL);
    python::with_packages(lab, program)
}
