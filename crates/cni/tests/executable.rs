//! The executable from outside, as a container runtime sees it, with a small server in the daemon's place.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

/// A folder that goes away with the test, short enough for the path of a socket.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kuryr-cni-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config(socket: &Path) -> Value {
    json!({"cniVersion": "1.0.0", "name": "kuryr", "type": "kuryr-cni", "socket": socket, "timeoutSeconds": 20,
           "runtimeConfig": {"mac": "x"}, "prevResult": {"ips": []}, "cni.dev/valid-attachments": []})
}

/// Starts the executable for `command` with `config` on its standard input.
fn start(command: &str, config: &[u8]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kuryr-cni"))
        .env_clear()
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", "sandbox-1")
        .env("CNI_NETNS", "/run/netns/blue")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_ARGS", "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=7f1c")
        .env("CNI_PATH", "/opt/cni/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(config).unwrap();
    child
}

fn run(command: &str, config: &Value) -> Output {
    start(command, config.to_string().as_bytes()).wait_with_output().unwrap()
}

/// The error object on standard output, after looking that the exit code says failure.
fn error_of(output: &Output) -> Value {
    assert!(!output.status.success());
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)))
}

/// Reads one request: its head, and its body by `content-length`.
fn read_request(stream: &mut UnixStream) -> (String, Value) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    let head = String::from_utf8(seen).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

/// Serves one connection: gives the request to the test, then lets `answer` do what it wants with the connection.
fn serve(socket: &Path, answer: impl FnOnce(&mut UnixStream) + Send + 'static) -> Receiver<(String, Value)> {
    let listener = UnixListener::bind(socket).unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = read_request(&mut stream);
        tell.send(request).unwrap();
        answer(&mut stream);
    });
    told
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into()
}

#[test]
fn relays_the_whole_call_and_prints_the_result() {
    let folder = Folder::new("relay");
    let result = json!({"cniVersion": "1.0.0", "interfaces": [], "ips": [], "dns": {}});
    let body = json!({ "result": result }).to_string();
    let told = serve(&folder.socket(), move |stream| stream.write_all(&http("200 OK", &body)).unwrap());
    let output = run("ADD", &config(&folder.socket()));
    assert!(output.status.success());
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), result);
    let (head, call) = told.recv().unwrap();
    assert!(head.starts_with("POST /v1/cni HTTP/1.1\r\n"), "{head}");
    assert_eq!(
        call,
        json!({"command": "ADD", "containerId": "sandbox-1", "netns": "/run/netns/blue", "ifname": "eth0",
               "args": "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=7f1c", "path": "/opt/cni/bin",
               "config": config(&folder.socket())})
    );
}

#[test]
fn prints_nothing_where_the_command_has_no_output() {
    let folder = Folder::new("quiet");
    let _told = serve(&folder.socket(), |stream| stream.write_all(&http("200 OK", r#"{"result":null}"#)).unwrap());
    let output = run("DEL", &config(&folder.socket()));
    assert!(output.status.success());
    assert_eq!(output.stdout, b"");
}

#[test]
fn relays_the_daemons_error_in_the_callers_version() {
    let folder = Folder::new("error");
    let body = r#"{"error":{"code":11,"msg":"no port yet","details":"quota"}}"#;
    let _told = serve(&folder.socket(), move |stream| stream.write_all(&http("200 OK", body)).unwrap());
    let error = error_of(&run("ADD", &config(&folder.socket())));
    assert_eq!(error, json!({"cniVersion": "1.0.0", "code": 11, "msg": "no port yet", "details": "quota"}));
}

#[test]
fn an_unreachable_daemon_means_try_again_later() {
    let folder = Folder::new("refused");
    let absent = error_of(&run("ADD", &config(&folder.socket())));
    assert_eq!(absent["code"], 11);
    let details = absent["details"].as_str().unwrap();
    assert!(details.contains(folder.socket().to_str().unwrap()) && details.contains("kuryr-daemon"), "{details}");
    drop(UnixListener::bind(folder.socket()).unwrap());
    assert_eq!(error_of(&run("DEL", &config(&folder.socket())))["code"], 11, "a stale socket refuses connections");
    assert_eq!(error_of(&run("STATUS", &config(&folder.socket())))["code"], 50, "STATUS has a code of its own");
}

#[test]
fn version_needs_no_daemon() {
    let folder = Folder::new("version");
    let output = run("VERSION", &json!({"cniVersion": "0.4.0", "socket": folder.socket()}));
    assert!(output.status.success());
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["cniVersion"], "0.4.0");
    assert_eq!(answer["supportedVersions"], json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
    assert!(start("VERSION", b"").wait_with_output().unwrap().status.success(), "an empty input is fine");
}

#[test]
fn a_silent_daemon_is_given_up_after_the_timeout() {
    let folder = Folder::new("silent");
    let (_hold, held) = mpsc::channel::<()>();
    let told = serve(&folder.socket(), move |_| {
        let _ = held.recv();
    });
    let mut patience = config(&folder.socket());
    patience["timeoutSeconds"] = 1.into();
    let started = Instant::now();
    let error = error_of(&run("ADD", &patience));
    assert_eq!(error["code"], 11);
    assert!(error["msg"].as_str().unwrap().contains("within 1 s"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
    told.recv().unwrap();
}

#[test]
fn a_full_backlog_is_given_up_after_the_timeout() {
    let folder = Folder::new("backlog");
    let listener = UnixListener::bind(folder.socket()).unwrap();
    // Fill the backlog: the first connection that would block shows that it is full.
    let mut waiting = Vec::new();
    loop {
        let (path, (tell, told)) = (folder.socket(), mpsc::channel());
        thread::spawn(move || tell.send(UnixStream::connect(path)));
        match told.recv_timeout(Duration::from_millis(300)) {
            Ok(stream) => waiting.push(stream.unwrap()),
            Err(_) => break,
        }
    }
    let mut patience = config(&folder.socket());
    patience["timeoutSeconds"] = 1.into();
    assert_eq!(error_of(&run("ADD", &patience))["code"], 11);
    drop(listener);
}

#[test]
fn a_daemon_that_dies_during_the_call_means_try_again_later() {
    let folder = Folder::new("dies");
    let _told =
        serve(&folder.socket(), |stream| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{").unwrap());
    let error = error_of(&run("ADD", &config(&folder.socket())));
    assert_eq!(error["code"], 11);
    let nothing = Folder::new("dies-at-once");
    let _told = serve(&nothing.socket(), |_| ());
    assert_eq!(error_of(&run("ADD", &config(&nothing.socket())))["code"], 11);
}

#[test]
fn garbage_is_reported_as_what_it_is() {
    for (test, answer) in [
        ("garbage", b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()),
        ("nojson", http("200 OK", "<html>")),
        ("status", http("404 Not Found", "no such path")),
        ("binary", vec![0xff; 300]),
    ] {
        let folder = Folder::new(test);
        let _told = serve(&folder.socket(), move |stream| stream.write_all(&answer).unwrap());
        let error = error_of(&run("ADD", &config(&folder.socket())));
        assert_eq!(error["code"], 6, "{test}: {error}");
    }
}

#[test]
fn big_answers_and_big_configurations_pass() {
    let folder = Folder::new("big");
    let result = json!({ "cniVersion": "1.0.0", "padding": "x".repeat(2 << 20) });
    let body = json!({ "result": result }).to_string();
    let told = serve(&folder.socket(), move |stream| stream.write_all(&http("200 OK", &body)).unwrap());
    let mut big = config(&folder.socket());
    big["padding"] = "y".repeat(4 << 20).into();
    let output = run("ADD", &big);
    assert!(output.status.success());
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), result);
    assert_eq!(told.recv().unwrap().1["config"], big);
}

#[test]
fn an_endless_answer_is_cut_off() {
    let folder = Folder::new("endless");
    let _told = serve(&folder.socket(), |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b' '; 65536]).is_ok() {}
    });
    assert_eq!(error_of(&run("ADD", &config(&folder.socket())))["code"], 6);
}

#[test]
fn wrong_input_is_refused_before_the_daemon_is_asked() {
    let folder = Folder::new("input");
    let refused =
        |command: &str, input: &[u8]| error_of(&start(command, input).wait_with_output().unwrap())["code"].clone();
    assert_eq!(refused("ADD", b"{not json"), 6);
    assert_eq!(refused("ADD", br#"{"cniVersion":"9.9.9"}"#), 1);
    assert_eq!(refused("ADD", br#"{"cniVersion":"1.0.0","socket":7}"#), 7);
    assert_eq!(refused("FETCH", config(&folder.socket()).to_string().as_bytes()), 4);
}

#[test]
fn the_daemon_sees_the_connection_close_when_the_caller_is_killed() {
    let folder = Folder::new("killed");
    let (tell, told) = mpsc::channel();
    let request = serve(&folder.socket(), move |stream| {
        let mut byte = [0];
        tell.send(stream.read(&mut byte).unwrap()).unwrap();
    });
    let mut child = start("ADD", config(&folder.socket()).to_string().as_bytes());
    request.recv().unwrap();
    assert!(told.recv_timeout(Duration::from_millis(200)).is_err(), "the sending side stays open while waiting");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(0));
}
