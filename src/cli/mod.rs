//! The command line: `serve`, `demo`, `check`, `preview`, `test`, `preset`, `healthcheck`, `backup`, `plan`; `orders`, `deliveries`,
//! `channels`, `problems` and `tail` ask a running server; `completions` and `man` describe it all.
//!
//! Exit codes: 0 done, 1 the thing failed, 2 wrong use. To add a command: a variant of [`Command`] with an example in
//! its help, and a file beside `serve.rs`.

mod args;
mod backup;
mod check;
mod client;
mod demo;
mod healthcheck;
mod manual;
mod output;
mod plan;
mod preview;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use args::{ConfigArgs, FileArgs, LogArgs, PreviewArgs};

/// Order callouts and webhook delivery from one binary with an embedded store.
#[derive(Debug, Parser)]
#[command(name = "orderhook", version, arg_required_else_help = true)]
#[command(after_help = "Example:\n  orderhook demo\n  orderhook serve --config orderhook.yaml")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    #[command(after_help = "Example:\n  orderhook serve --config orderhook.yaml --config secrets.yaml")]
    Serve {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        logs: LogArgs,
    },
    /// Everything to look at in one command: the service, receivers on loopback, and orders flowing.
    #[command(after_help = "Example:\n  orderhook demo --orders 100 --rate 20")]
    Demo(demo::DemoArgs),
    /// Check a configuration: every error, or a summary.
    #[command(after_help = "Example:\n  orderhook check --config orderhook.yaml")]
    Check {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show the request that a channel would send for an order, without sending it.
    #[command(
        after_help = "Example:\n  orderhook preview erp --config orderhook.yaml --order order.json\n  curl -s https://shop.example.com/orders/1 | orderhook preview erp --order -"
    )]
    Preview(PreviewArgs),
    /// Send a channel's request for an order now, once, and show what comes back. Nothing is stored.
    #[command(after_help = "Example:\n  orderhook test erp --config orderhook.yaml --order order.json")]
    Test(PreviewArgs),
    /// Print a preset: the defaults that `preset: NAME` gives a channel.
    #[command(after_help = "Example:\n  orderhook preset standard")]
    Preset {
        /// The preset's name.
        name: String,
    },
    /// Orders of a running server.
    #[command(
        after_help = "Example:\n  orderhook orders list --status rejected --since 2h\n  orderhook orders show SO-1"
    )]
    Orders {
        #[command(flatten)]
        client: client::ClientArgs,
        #[command(subcommand)]
        command: client::OrdersCommand,
    },
    /// Deliveries of a running server.
    #[command(
        after_help = "Example:\n  orderhook deliveries list --status failed\n  orderhook deliveries retry --channel erp --code 5xx --since 2h"
    )]
    Deliveries {
        #[command(flatten)]
        client: client::ClientArgs,
        #[command(subcommand)]
        command: client::DeliveriesCommand,
    },
    /// Channels of a running server.
    #[command(after_help = "Example:\n  orderhook channels list\n  orderhook channels pause erp --reason inventory")]
    Channels {
        #[command(flatten)]
        client: client::ClientArgs,
        #[command(subcommand)]
        command: client::ChannelsCommand,
    },
    /// Show what needs a person, worst first. Ends with 1 if anything does.
    #[command(after_help = "Example:\n  orderhook problems --server https://orders.example.com --token-file token")]
    Problems {
        #[command(flatten)]
        client: client::ClientArgs,
        /// Failures of deliveries made at that time or later: RFC 3339, or how long ago, such as 24h.
        #[arg(long, value_name = "TIME", value_parser = client::time)]
        since: Option<String>,
    },
    /// Show what happens, as it happens.
    #[command(after_help = "Example:\n  orderhook tail --channel erp")]
    Tail {
        #[command(flatten)]
        client: client::ClientArgs,
        /// What happens to this channel alone.
        #[arg(long)]
        channel: Option<String>,
    },
    /// Show what a changed configuration would do to recent orders, without sending anything. Ends with 1 if anything fails.
    #[command(after_help = "Example:\n  orderhook plan --config new.yaml --since 24h --token-file token")]
    Plan(plan::PlanArgs),
    /// Copy the store to a file, consistent, while the service runs.
    #[command(after_help = "Example:\n  orderhook backup /backup/orderhook.db --config orderhook.yaml")]
    Backup {
        /// The file; it must not exist.
        file: PathBuf,
        #[command(flatten)]
        config: FileArgs,
    },
    /// Print the completions of a shell.
    #[command(after_help = "Example:\n  orderhook completions bash > /etc/bash_completion.d/orderhook")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write the pages of all commands to a folder.
    #[command(after_help = "Example:\n  orderhook man --dir /usr/local/share/man/man1")]
    Man {
        /// The folder for the pages of all commands.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Ask the service at `server.listen` whether it is ready; for containers.
    #[command(after_help = "Example:\n  orderhook healthcheck --config orderhook.yaml")]
    Healthcheck {
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = error.exit_code();
            let _ = error.print();
            return ExitCode::from(u8::try_from(code).unwrap_or(2));
        }
    };
    match cli.command {
        Command::Serve { config, logs } => serve::run(&config, &logs),
        Command::Demo(args) => demo::run(&args),
        Command::Check { config } => check::run(&config),
        Command::Preview(args) => preview::preview(&args.config.config, &args.channel, args.order.as_deref()),
        Command::Test(args) => preview::test(&args.config.config, &args.channel, args.order.as_deref()),
        Command::Preset { name } => check::preset(&name),
        Command::Orders { client, command } => client::orders(&client, command),
        Command::Deliveries { client, command } => client::deliveries(&client, command),
        Command::Channels { client, command } => client::channels(&client, command),
        Command::Problems { client, since } => client::problems(&client, since.as_deref()),
        Command::Tail { client, channel } => client::tail(&client, channel.as_deref()),
        Command::Plan(args) => plan::run(&args),
        Command::Backup { file, config } => backup::run(&config.config, &file),
        Command::Completions { shell } => manual::completions(Cli::command(), shell),
        Command::Man { dir } => manual::man(Cli::command(), dir.as_deref()),
        Command::Healthcheck { config } => healthcheck::run(&config),
    }
}
