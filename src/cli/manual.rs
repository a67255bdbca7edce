//! `completions` and `man`: what a shell and `man` need to know of the commands.

use std::path::Path;
use std::process::ExitCode;

use clap::Command;

use super::output;

/// `orderhook completions`.
pub(super) fn completions(mut program: Command, shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, "orderhook", &mut script);
    output::line(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}

/// `orderhook man`: the page of the program, or with a folder the pages of all commands in it.
pub(super) fn man(program: Command, folder: Option<&Path>) -> ExitCode {
    let result = match folder {
        Some(folder) => std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(named(program), folder)),
        None => page(program).map(|page| output::line(&page)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let folder = folder.unwrap_or_else(|| Path::new("-"));
            output::error(&format!("{}: {error}", folder.display()));
            ExitCode::FAILURE
        }
    }
}

fn named(command: Command) -> Command {
    command.disable_help_subcommand(true)
}

fn page(command: Command) -> std::io::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(named(command)).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
