//! The parts of the command line that both programs have, and the frame around `main`.
//!
//! What must always hold: whatever may be typed has an effect, `--json` included, and the help of every command shows an
//! example. [`command`] gives a program's command line as it is shown everywhere: to the parser, in completions and in
//! manual pages.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode as ProcessExit;

use clap::{Args, Command, Parser, Subcommand};
use clap_complete::Shell;
use serde_json::{Value, json};

use crate::config::{self, Config};
use crate::exit::{ExitCode, Failure};
use crate::logging::{self, LogFormat};

/// Arguments of every command.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Form of the log lines on standard error; levels by RUST_LOG
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// The argument of every command that works on a fleet.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

impl ConfigArgs {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// As [`config::load`], as a failure with exit code 2.
    pub fn load<T: Config>(&self) -> Result<T, Failure> {
        Ok(config::load(&self.config)?)
    }
}

/// Commands that both programs have; flattened into their own.
#[derive(Clone, Debug, Subcommand)]
pub enum ShellCommand {
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page of this program or of one of its commands
    Man {
        /// The command; without it the page of the program
        command: Option<String>,
    },
}

/// What is printed for a person or a shell, and the same for a machine.
struct Text {
    text: String,
    document: Value,
}

impl ShellCommand {
    /// Prints what is asked for; with `json` as one document that holds the text.
    ///
    /// # Errors
    /// When the command does not exist or standard output cannot be written.
    pub fn run<P: Parser>(&self, json: bool) -> Result<(), Failure> {
        let Text { text, document } = self.render(command::<P>())?;
        let text = if json { format!("{document}\n") } else { text };
        match io::stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(&error)),
            _ => Ok(()),
        }
    }

    fn render(&self, program: Command) -> Result<Text, Failure> {
        match self {
            Self::Completions { shell } => {
                let script = script_of(program, *shell);
                let document = json!({ "shell": shell.to_string(), "script": script });
                Ok(Text { text: script, document })
            }
            Self::Man { command } => {
                let page = roff_of(program, command.as_deref())?;
                let document = json!({ "command": command, "page": page });
                Ok(Text { text: page, document })
            }
        }
    }
}

/// The command line of a program, with examples for the commands that both programs have.
#[must_use]
pub fn command<P: Parser>() -> Command {
    let program = P::command();
    let name = program.get_name().to_owned();
    let examples = [
        (
            "completions",
            format!(
                "Examples:\n  {name} completions bash > /etc/bash_completion.d/{name}\n  \
                 {name} completions zsh > ~/.zfunc/_{name}"
            ),
        ),
        (
            "man",
            format!(
                "Examples:\n  {name} man > {name}.1 && man ./{name}.1\n  \
                 {name} man status > {name}-status.1"
            ),
        ),
    ];
    let shared = examples.into_iter().filter(|(name, _)| program.find_subcommand(name).is_some());
    let shared: Vec<_> = shared.collect();
    shared.into_iter().fold(program, |program, (command, examples)| {
        program.mut_subcommand(command, |command| command.after_help(examples))
    })
}

fn script_of(mut program: Command, shell: Shell) -> String {
    let (name, mut script) = (program.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, &mut program, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

fn roff_of(program: Command, command: Option<&str>) -> Result<String, Failure> {
    let mut roff = Vec::new();
    let page = clap_mangen::Man::new(page_of(program, command)?);
    page.render(&mut roff).map_err(|error| cannot_write(&error))?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}

fn cannot_write(error: &io::Error) -> Failure {
    Failure::new(ExitCode::Failed, format!("cannot write the answer: {error}"))
}

fn page_of(mut program: Command, command: Option<&str>) -> Result<Command, Failure> {
    program.build();
    let Some(name) = command else { return Ok(program) };
    let found = program.find_subcommand(name).cloned();
    found.ok_or_else(|| {
        Failure::new(ExitCode::Usage, format!("there is no command `{name}`"))
            .hint(format!("`{} --help` lists the commands", program.get_name()))
    })
}

/// The frame around `main`: parses the command line, starts logging, runs, and turns a failure into message and code.
///
/// Wrong usage is told by clap (exit code 2), `--help` and `--version` end with 0.
pub fn main<P: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    output: impl FnOnce(&P) -> OutputArgs,
    run: impl FnOnce(P) -> Result<(), Failure>,
) -> ProcessExit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let wants_json = arguments.iter().any(|argument| argument == "--json");
    let parsed = match parse::<P>(arguments) {
        Ok(parsed) => parsed,
        Err(error) => return tell_usage(&error, wants_json),
    };
    let OutputArgs { json, log_format } = output(&parsed);
    logging::init(log_format);
    match run(parsed) {
        Ok(()) => ExitCode::Fine.into(),
        Err(failure) => {
            tell(&failure, json);
            failure.exit.into()
        }
    }
}

fn parse<P: Parser>(arguments: Vec<OsString>) -> Result<P, clap::Error> {
    let mut matches = command::<P>().try_get_matches_from(arguments)?;
    P::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command::<P>()))
}

/// `--help` and `--version` come this way too. A reader of `--json` gets its document also when usage is wrong.
fn tell_usage(error: &clap::Error, json: bool) -> ProcessExit {
    if !error.use_stderr() {
        return error.print().map_or(ExitCode::Failed, |()| ExitCode::Fine).into();
    }
    if json {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        tell(&Failure::new(ExitCode::Usage, text), json);
        return ExitCode::Usage.into();
    }
    error.print().map_or(ExitCode::Failed, |()| ExitCode::Usage).into()
}

/// Tells a failure on standard error, and with `--json` to machines on standard output; if neither can be written, the
/// exit code still tells it.
fn tell(failure: &Failure, json: bool) {
    let told = writeln!(io::stderr().lock(), "{failure}");
    if json {
        let answered = writeln!(io::stdout().lock(), "{}", failure.json());
        tracing::trace!(?answered, ?told, "failure told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test program
    #[derive(Debug, Parser)]
    #[command(name = "walsomething")]
    struct Program {
        #[command(flatten)]
        output: OutputArgs,
        #[command(subcommand)]
        command: Commands,
    }

    #[derive(Debug, Subcommand)]
    enum Commands {
        /// Ask
        Status(ConfigArgs),
        #[command(flatten)]
        Shell(ShellCommand),
    }

    fn exit_of(line: &str, run: impl FnOnce(Program) -> Result<(), Failure>) -> String {
        let arguments = line.split(' ').map(OsString::from);
        format!("{:?}", main(arguments, |program: &Program| program.output, run))
    }

    fn number(code: ExitCode) -> String {
        format!("{:?}", ProcessExit::from(code))
    }

    #[test]
    fn the_frame_turns_results_into_exit_codes() {
        assert_eq!(exit_of("walsomething status -c x --json", |_| Ok(())), number(ExitCode::Fine));
        assert_eq!(exit_of("walsomething --help", |_| Ok(())), number(ExitCode::Fine));
        assert_eq!(exit_of("walsomething status", |_| Ok(())), number(ExitCode::Usage));
        assert_eq!(exit_of("walsomething dance", |_| Ok(())), number(ExitCode::Usage));
        let fenced = |_| Err(Failure::new(ExitCode::Fenced, "another host owns the log"));
        assert_eq!(exit_of("walsomething status -c x", fenced), number(ExitCode::Fenced));
    }

    #[test]
    fn a_missing_configuration_is_a_usage_failure() {
        let args = ConfigArgs { config: "/nowhere/walship.toml".into() };
        let failure = args.load::<crate::WalshipConfig>().unwrap_err();
        assert_eq!(failure.exit, ExitCode::Usage);
        assert!(failure.error.contains("/nowhere/walship.toml"), "{failure}");
    }

    fn text_of(command: ShellCommand) -> Result<String, Failure> {
        command.render(super::command::<Program>()).map(|rendered| rendered.text)
    }

    #[test]
    fn completions_and_manual_pages_are_complete() {
        let script = text_of(ShellCommand::Completions { shell: Shell::Bash }).unwrap();
        assert!(script.contains("--log-format"), "{script}");
        let page = text_of(ShellCommand::Man { command: None }).unwrap();
        assert!(page.contains("Test program"), "{page}");
        let page = text_of(ShellCommand::Man { command: Some("status".into()) }).unwrap();
        assert!(page.contains("configuration file"), "{page}");
        let failure = text_of(ShellCommand::Man { command: Some("dance".into()) }).unwrap_err();
        assert_eq!(failure.exit, ExitCode::Usage);
    }

    #[test]
    fn machines_get_the_same_text_in_a_document() {
        let status = || Some("status".to_owned());
        let page = ShellCommand::Man { command: status() };
        let Text { text, document } = page.render(super::command::<Program>()).unwrap();
        assert_eq!(document, json!({ "command": status(), "page": text }));
        let script = ShellCommand::Completions { shell: Shell::Zsh };
        let Text { text, document } = script.render(super::command::<Program>()).unwrap();
        assert_eq!(document, json!({ "shell": "zsh", "script": text }));
    }

    #[test]
    fn shared_commands_show_examples_that_name_the_program() {
        for shared in ["completions", "man"] {
            let page = text_of(ShellCommand::Man { command: Some(shared.into()) }).unwrap();
            assert!(page.contains(&format!("walsomething {shared}")), "{page}");
        }
    }

    #[test]
    fn the_command_line_itself_is_sound() {
        super::command::<Program>().debug_assert();
    }
}
