use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::exit::{ExitCode, Failure};
use crate::state_dir::StateDir;

const TIMEOUT: Duration = Duration::from_secs(10);

fn serve(state: &StateDir) -> Server {
    Server::start(state, |request| match request.command.as_str() {
        "status" => json!({ "fleet": "anvil", "arguments": request.arguments }),
        other => refusal(&format!("unknown command {other}")),
    })
    .unwrap()
}

fn assert_serves(folder: &Path) {
    let state = StateDir::lock(folder, "walship").unwrap();
    let _server = serve(&state);
    let answer = ask(folder, &Request::new("status").with("verbose", true), TIMEOUT).unwrap();
    assert_eq!(answer, json!({ "fleet": "anvil", "arguments": { "verbose": true } }));
    let error = ask(folder, &Request::new("dance"), TIMEOUT).unwrap_err();
    assert!(matches!(error, AskError::Refused(why) if why == "unknown command dance"));
}

#[test]
fn a_request_is_answered_and_only_this_user_can_ask() {
    let scratch = tempfile::tempdir().unwrap();
    assert_serves(scratch.path());
    let state = StateDir::lock(scratch.path(), "walship").unwrap();
    let _server = serve(&state);
    let mode = scratch.path().join(SOCKET_FILE).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_long_state_folder_works_like_a_short_one() {
    let scratch = tempfile::tempdir().unwrap();
    assert_serves(&scratch.path().join("x".repeat(120)).join("y".repeat(120)));
}

#[test]
fn nobody_answers_before_and_after() {
    let scratch = tempfile::tempdir().unwrap();
    let state = StateDir::lock(scratch.path(), "walship").unwrap();
    let not_running = || {
        matches!(ask(scratch.path(), &Request::new("status"), TIMEOUT), Err(AskError::NotRunning))
    };
    assert!(not_running());
    drop(serve(&state));
    assert!(not_running());
    assert!(!scratch.path().join(SOCKET_FILE).exists());
}

#[test]
fn a_leftover_socket_is_replaced() {
    let scratch = tempfile::tempdir().unwrap();
    drop(UnixListener::bind(scratch.path().join(SOCKET_FILE)).unwrap());
    assert!(matches!(
        ask(scratch.path(), &Request::new("status"), TIMEOUT),
        Err(AskError::NotRunning)
    ));
    assert_serves(scratch.path());
}

#[test]
fn rubbish_is_refused_and_the_server_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let state = StateDir::lock(scratch.path(), "walship").unwrap();
    let _server = serve(&state);
    for line in [&b"{\"command\": 7}\n"[..], b"\xff\xfe\n", &[b'['; 70_000]] {
        let mut stream = UnixStream::connect(scratch.path().join(SOCKET_FILE)).unwrap();
        // The server stops reading at its bound and may hang up before all is written.
        let _ = stream.write_all(line);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.contains("not a request"), "{answer}");
    }
    assert!(ask(scratch.path(), &Request::new("status"), TIMEOUT).is_ok());
}

#[test]
fn a_silent_client_does_not_keep_others_waiting() {
    let scratch = tempfile::tempdir().unwrap();
    let state = StateDir::lock(scratch.path(), "walship").unwrap();
    let _server = serve(&state);
    let _silent = UnixStream::connect(scratch.path().join(SOCKET_FILE)).unwrap();
    assert!(ask(scratch.path(), &Request::new("status"), TIMEOUT).is_ok());
}

#[test]
fn the_folder_stays_locked_while_the_socket_is_served() {
    let scratch = tempfile::tempdir().unwrap();
    let state = StateDir::lock(scratch.path(), "walship").unwrap();
    let server = serve(&state);
    drop(state);
    assert!(StateDir::lock(scratch.path(), "walship").is_err());
    drop(server);
    StateDir::lock(scratch.path(), "walship").unwrap();
}

/// What a program leaves that was stopped: a bound socket that nobody takes connections from.
#[test]
fn a_program_that_does_not_answer_is_told_by_its_number_however_long_its_queue() {
    let scratch = tempfile::tempdir().unwrap();
    let _state = StateDir::lock(scratch.path(), "walship").unwrap();
    let listener = UnixListener::bind(scratch.path().join(SOCKET_FILE)).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    let short = Duration::from_millis(20);
    for _ in 0..5 {
        let error = ask(scratch.path(), &Request::new("status"), short).unwrap_err();
        let AskError::Silent(silence) = error else { panic!("{error}") };
        assert_eq!(silence.process, Some(std::process::id()));
        assert!(silence.last_sign_seconds.is_some_and(|seconds| seconds < 3_600));
    }
    let of_store = || Ok(json!({ "running": false }));
    let answer = status(scratch.path(), short, of_store).unwrap();
    assert_eq!(answer["silent"]["process"], std::process::id());
    let unreachable = || Err(Failure::new(ExitCode::StoreUnreachable, "no store"));
    let failure = status(scratch.path(), short, unreachable).unwrap_err();
    assert_eq!(failure.exit, ExitCode::StoreUnreachable);
    assert!(failure.error.contains("does not answer") && failure.error.ends_with("; no store"));
}
