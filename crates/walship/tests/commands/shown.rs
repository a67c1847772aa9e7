//! What is shown of the command line itself.

use serde_json::Value;

use crate::host::{stderr, stdout, walship};

#[test]
fn the_writers_of_the_demo_are_shown_nowhere() {
    for typo in ["demo-write", "demo-writers"] {
        let output = walship([typo]);
        assert_eq!(output.status.code(), Some(2));
        assert!(!stderr(&output).contains("demo-writer'"), "{}", stderr(&output));
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&walship(["completions", shell]));
        assert!(script.contains("replicate") && !script.contains("demo-writer"), "{shell}");
    }
    let page = stdout(&walship(["man"]));
    assert!(page.contains("replicate") && !page.contains("writer"), "{page}");
    assert_eq!(walship(["man", "demo-writer"]).status.code(), Some(2));
}

#[test]
fn completions_and_manual_pages_are_one_document_for_machines() {
    for (arguments, key) in
        [(["completions", "zsh", "--json"], "script"), (["man", "check", "--json"], "page")]
    {
        let output = walship(arguments);
        let document: Value = serde_json::from_str(&stdout(&output)).expect("one JSON document");
        assert_eq!(document[key], stdout(&walship(&arguments[..2])));
    }
}
