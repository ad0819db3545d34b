//! Real firmware boots over our answers, with the configuration that `agent/examples/pxe` shows.
//!
//! A machine asks three times until Linux runs: its firmware, iPXE, Linux; each asks for other things and
//! calls itself something else. It has one address all the time, and gets what the configuration
//! says for each of the three. Of the three ACKs, the last is the kernel's: what sends option 97 is
//! the agent's to answer (checklist row 57), and firmware and iPXE do.

mod lab;
mod wire;

use std::time::Duration;

use anyhow::{Context as _, Result};
use xdhcpd_tests::guest::{Boot, Linux};
use xdhcpd_tests::server::{Agent, Answered};
use xdhcpd_tests::skip;
use xdhcpd_tests::wait;

use lab::{Lab, MAC, UUID};
use wire::{Exchange, Message, code};

/// A boot takes twenty seconds on an idle machine.
const BOOT: Duration = Duration::from_mins(3);
/// The first of the example's range.
const ADDRESS: [u8; 4] = [10, 9, 0, 100];
/// The example's server.
const US: [u8; 4] = [10, 9, 0, 2];

/// Who asks, as the one who answers can tell.
#[derive(Debug, PartialEq, Eq)]
struct Asker {
    /// Option 61.
    client_id: Option<Vec<u8>>,
    /// Option 97.
    machine_id: Option<Vec<u8>>,
    /// Option 93.
    architecture: Option<u8>,
    /// What option 60 begins with.
    vendor_class: String,
    /// Option 77.
    user_class: Option<String>,
    /// What it gets to boot.
    file: String,
}

/// The client-id of option 61 that names the card: hardware type and address.
fn card() -> Vec<u8> {
    let bytes = MAC.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("a byte"));
    [1].into_iter().chain(bytes).collect()
}

/// Option 97: a zero, and the UUID as the machine's tables have it (SMBIOS, §7.2.1).
fn machine() -> Vec<u8> {
    let digits = UUID.replace('-', "");
    let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("a byte");
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    [0].into_iter().chain(order.map(byte)).collect()
}

/// iPXE, whoever loaded it.
fn ipxe(architecture: u8) -> Asker {
    Asker {
        client_id: Some(card()),
        machine_id: Some(machine()),
        architecture: Some(architecture),
        vendor_class: "PXEClient".into(),
        user_class: Some("iPXE".into()),
        file: "http://10.9.0.2/boot.ipxe".into(),
    }
}

/// udhcpc as `linux.sh` calls it. It is not asked to boot, and gets the network's own boot file.
fn linux() -> Asker {
    Asker {
        client_id: Some(vec![0xff, 0, 0, 0, 1, 0, 3, 0, 1, 0x52, 0x54, 0, 0, 0, 1]),
        machine_id: None,
        architecture: None,
        vendor_class: "udhcp".into(),
        user_class: None,
        file: "undionly.kpxe".into(),
    }
}

/// UEFI, which sends no client-id at all.
fn uefi(architecture: u8, vendor_class: &str, file: &str) -> Asker {
    Asker {
        client_id: None,
        machine_id: Some(machine()),
        architecture: Some(architecture),
        vendor_class: vendor_class.into(),
        user_class: None,
        file: file.into(),
    }
}

#[test]
fn c57_a_bios_machine_boots_by_its_rom_then_our_ipxe_then_linux() -> Result<()> {
    // The card's ROM is an iPXE too, and calls itself by the same name.
    boots(Boot::Bios, "bios", &[ipxe(0), ipxe(0), linux()])
}

#[test]
fn c57_a_uefi_machine_boots_by_pxe_then_ipxe_then_linux() -> Result<()> {
    boots(Boot::UefiPxe, "uefi", &[uefi(7, "PXEClient", "ipxe.efi"), ipxe(7), linux()])
}

#[test]
fn c57_a_uefi_machine_boots_by_http_then_ipxe_then_linux() -> Result<()> {
    let firmware = uefi(16, "HTTPClient", "http://10.9.0.2/ipxe.efi");
    boots(Boot::UefiHttp, "uefi", &[firmware, ipxe(7), linux()])
}

fn boots(boot: Boot<'_>, firmware: &str, askers: &[Asker]) -> Result<()> {
    let test = skip::this_test();
    let programs = [("dnsmasq", "dnsmasq-base"), ("busybox", "busybox"), ("tshark", "tshark")];
    let is_there = |(program, package)| skip::is_there(&test, program, package);
    if !skip::is_root(&test)
        || !boot.is_there(&test)
        || !skip::is_there(&test, "/usr/lib/ipxe/undionly.kpxe", "ipxe")
        || !programs.into_iter().all(is_there)
    {
        return Ok(());
    }
    let Some(kernel) = Linux::find(&test, "bookworm") else { return Ok(()) };

    let lab = Lab::set(&kernel)?;
    let mut machine = lab.boot(boot)?;
    let lease = machine.line("lease: ", BOOT)?;
    assert_eq!(lease, format!("10.9.0.100 from 10.9.0.2 for 43200 on {firmware}"));
    machine.end(BOOT)?;

    is_one_lease_of_the_kernels(&lab.server)?;
    let answered = lab.server.answered()?;
    let passed = lab.server.passed("rare_option")?;
    let captured = lab.captured()?;
    captured.judge()?;
    let exchanges = wire::exchanges(&captured.frames);
    let seen: Vec<_> = exchanges.iter().map(Asker::of).collect::<Result<_>>()?;
    assert_eq!(seen, askers);
    for exchange in &exchanges {
        keeps_its_word(exchange);
    }

    is_counted(answered, passed, &exchanges);
    Ok(())
}

/// Every ACK that could come from the kernel did, and each reply is counted once.
fn is_counted(answered: Answered, passed: u64, exchanges: &[Exchange]) {
    let has_machine_id = |message: &&Message| message.option(code::MACHINE_ID).is_some();
    let (rare, plain): (Vec<_>, Vec<_>) =
        exchanges.iter().flat_map(|exchange| &exchange.requests).partition(has_machine_id);
    assert_eq!((answered.kernel.1, answered.agent.1), (count(&plain), count(&rare)));
    let offers: Vec<_> = exchanges.iter().flat_map(|exchange| &exchange.offers).collect();
    assert_eq!(answered.kernel.0 + answered.agent.0, count(&offers));
    let discovers = exchanges.iter().flat_map(|exchange| &exchange.discovers);
    let rare: Vec<_> = discovers.filter(has_machine_id).chain(rare).collect();
    assert_eq!(passed, count(&rare), "passed up for option 97");
}

fn count(messages: &[&Message]) -> u64 {
    messages.len() as u64
}

/// The machine has one lease, which the kernel knows of and renewed last.
fn is_one_lease_of_the_kernels(server: &Agent) -> Result<()> {
    let lease = wait::until("the lease to be the kernel's", wait::SOON, || {
        let lease = server.lease(ADDRESS.into())?;
        Ok((lease["lastAnsweredBy"] == "kernel").then_some(lease))
    })?;
    assert_eq!((&lease["mac"], &lease["state"]), (&MAC.into(), &"bound".into()));
    assert_eq!(lease["inKernel"], true);
    assert_eq!(server.json("stats")?["networks"][0]["used"], 1);
    Ok(())
}

/// The ACK says what the OFFER said (rows 40 and 41), of the one address, and what was sent to be
/// echoed comes back (rows 50 and 57).
fn keeps_its_word(exchange: &Exchange) {
    let Exchange { discovers, offers, requests, acks } = exchange;
    assert_eq!(
        (offers.len(), acks.len()),
        (discovers.len(), requests.len()),
        "all are answered: {exchange:?}"
    );
    for reply in offers.iter().chain(acks) {
        assert_eq!(reply.promises(), acks[0].promises());
        assert_eq!((reply.yiaddr, reply.siaddr), (ADDRESS, US));
        for code in [code::CLIENT_ID, code::MACHINE_ID] {
            assert_eq!(reply.option(code), requests[0].option(code), "option {code}");
        }
    }
}

impl Asker {
    /// Who asked in an exchange, and what it got.
    fn of(exchange: &Exchange) -> Result<Self> {
        let request = exchange.requests.first().with_context(|| format!("no REQUEST: {exchange:?}"))?;
        let ack = exchange.acks.first().with_context(|| format!("no ACK: {exchange:?}"))?;
        let text = |code| request.option(code).map(|value| String::from_utf8_lossy(value).into_owned());
        let vendor_class = text(code::VENDOR_CLASS).unwrap_or_default();
        Ok(Self {
            client_id: request.option(code::CLIENT_ID).map(<[u8]>::to_vec),
            machine_id: request.option(code::MACHINE_ID).map(<[u8]>::to_vec),
            architecture: request.option(code::ARCHITECTURE).map(|value| value[1]),
            vendor_class: vendor_class.split([':', ' ']).next().unwrap_or_default().to_owned(),
            user_class: text(code::USER_CLASS),
            file: ack.file.clone(),
        })
    }
}
