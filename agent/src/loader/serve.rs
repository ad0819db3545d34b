//! What the loader's process does.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::time::MissedTickBehavior;
use tokio_util::codec::{FramedRead, LinesCodec};

use super::{Order, Report};
use crate::fastpath::Program;
use crate::netlink;

/// How often the interfaces are looked at where the kernel says nothing: of a link that somebody
/// detached it does not.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// How long news of interfaces are collected: one that is made comes with a dozen of them.
const COLLECT: Duration = Duration::from_millis(20);

/// The longest order: some hundred interfaces and programs of others.
const ORDER: usize = 1 << 18;

type Orders = FramedRead<pipe::Receiver, LinesCodec>;

/// Carries out what is ordered on stdin, until that ends.
pub async fn serve() -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let stdin = pipe::Receiver::from_owned_fd(stdin)
        .context("stdin is no pipe: `xdhcpd run` starts the loader, and nobody else has any use for it")?;
    let mut orders = FramedRead::new(stdin, LinesCodec::new_with_max_length(ORDER));
    let changes = watch(netlink::changes(netlink::LINKS)?)?;
    let mut next = orders.next().await;
    while let Some(line) = next {
        let line = line.context("an order cannot be read")?;
        let order: Order = serde_json::from_str(&line).context("an order is not understood")?;
        let interfaces: Vec<_> = order.interfaces.into_iter().map(|name| (name, order.mode)).collect();
        let mut program = match Program::load(&order.name, order.log, &interfaces, order.strangers) {
            Ok(program) => program,
            Err(fault) => {
                tell(&Report::Failed(fault.to_string()))?;
                return Err(fault.into());
            }
        };
        next = attend(&mut program, &mut orders, &changes).await?;
    }
    Ok(())
}

/// Keeps the program where it belongs, until there is another order or none any more.
async fn attend(
    program: &mut Program,
    orders: &mut Orders,
    changes: &AsyncFd<OwnedFd>,
) -> Result<Option<Result<String, tokio_util::codec::LinesCodecError>>> {
    let log = program.log_fd().map(|log| log.try_clone_to_owned()).transpose()?;
    let log = log.map(watch).transpose()?;
    let mut look = tokio::time::interval(LOOK_AFTER);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        let report = report(program);
        if told.as_ref() != Some(&report) {
            tell(&report)?;
            told = Some(report);
        }
        tokio::select! {
            next = orders.next() => return Ok(next),
            read = readable(log.as_ref()) => {
                read?;
                program.drain_log();
                continue;
            }
            changed = changes.readable() => {
                changed?.clear_ready();
                tokio::time::sleep(COLLECT).await;
                netlink::forget_changes(changes.get_ref());
            }
            _ = look.tick() => {}
        }
        program.check()?;
    }
}

/// Waits for a descriptor to be readable.
fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the AsyncFd, and stays open and the same until that drops
    // it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Returns when there is something to read, and all of it is to be read then; never, where there is
/// nothing to read from.
async fn readable(fd: Option<&AsyncFd<OwnedFd>>) -> io::Result<()> {
    match fd {
        Some(fd) => fd.readable().await.map(|mut guard| guard.clear_ready()),
        None => std::future::pending().await,
    }
}

fn report(program: &Program) -> Report {
    let all = program.status().into_iter();
    Report::Loaded { problems: all.filter_map(|status| Some((status.name, status.problem?))).collect() }
}

/// Says how things stand. Whom nobody listens to any more has no agent, and ends with this error.
fn tell(report: &Report) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(report)?)?;
    stdout.flush().context("the agent listens no more")
}
