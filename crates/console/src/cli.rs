//! The parts of the command line that both programs have, and the frame around `main`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode as ProcessExit;

use clap::{Args, Command, Parser, Subcommand};
use clap_complete::Shell;

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

impl ShellCommand {
    /// Prints what is asked for.
    ///
    /// # Errors
    /// When the command does not exist or standard output cannot be written.
    pub fn run<P: Parser>(&self) -> Result<(), Failure> {
        let text = self.render(P::command())?;
        match io::stdout().lock().write_all(&text) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(&error)),
            _ => Ok(()),
        }
    }

    fn render(&self, mut program: Command) -> Result<Vec<u8>, Failure> {
        let mut text = Vec::new();
        match self {
            Self::Completions { shell } => {
                let name = program.get_name().to_owned();
                clap_complete::generate(*shell, &mut program, name, &mut text);
            }
            Self::Man { command } => {
                let page = clap_mangen::Man::new(page_of(program, command.as_deref())?);
                page.render(&mut text).map_err(|error| cannot_write(&error))?;
            }
        }
        Ok(text)
    }
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
    let parsed = match P::try_parse_from(arguments) {
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

    #[test]
    fn completions_and_manual_pages_are_complete() {
        use clap::CommandFactory;
        let render = |command: ShellCommand| {
            command.render(Program::command()).map(|text| String::from_utf8(text).unwrap())
        };
        let script = render(ShellCommand::Completions { shell: Shell::Bash }).unwrap();
        assert!(script.contains("--log-format"), "{script}");
        let page = render(ShellCommand::Man { command: None }).unwrap();
        assert!(page.contains("Test program"), "{page}");
        let page = render(ShellCommand::Man { command: Some("status".into()) }).unwrap();
        assert!(page.contains("configuration file"), "{page}");
        let failure = render(ShellCommand::Man { command: Some("dance".into()) }).unwrap_err();
        assert_eq!(failure.exit, ExitCode::Usage);
    }

    #[test]
    fn the_command_line_itself_is_sound() {
        use clap::CommandFactory;
        Program::command().debug_assert();
    }
}
