//! Which client classes a request belongs to (architecture, vendor class, user class, an option).

use std::cmp::Reverse;

use xdhcpd_common::options::code;

use crate::config::Class;
use crate::engine::request::Request;

/// Options that [`xdhcpd_common::facts::Facts::ask`] stands for: where one of them differs from what
/// the kernel's entry was made for, the kernel leaves the request to us.
const IN_ASK: [u8; 4] = [code::PARAMETERS, code::VENDOR_CLASS, code::USER_CLASS, code::ARCHITECTURE];
/// Options that an entry has fingerprints of their own for.
const WITH_FINGERPRINTS: [u8; 2] = [code::CLIENT_ID, code::RELAY_INFO];

/// The classes whose conditions all hold, the nearest first. What a relay says counts only if it is
/// `trusted`.
pub fn matching<'a>(classes: &'a [Class], request: &Request, trusted: bool) -> Vec<&'a Class> {
    let mut matching: Vec<_> = classes.iter().filter(|class| is_member(class, request, trusted)).collect();
    // Stable: of those that are equally near, the first of the file stays first.
    matching.sort_by_key(|class| Reverse(nearness(class)));
    matching
}

/// How near a class is to its members: one for what runs there now over one for the machine that it
/// runs on. Else an iPXE that UEFI loaded would be told to load iPXE, over and over.
fn nearness(class: &Class) -> [bool; 4] {
    let Class { option, user_class, vendor_class, arch, .. } = class;
    [option.is_some(), user_class.is_some(), vendor_class.is_some(), !arch.is_empty()]
}

/// Whether the kernel can tell that a client is in other classes than it was: not where a class
/// asks for an option that no entry knows of.
pub fn are_kernels(classes: &[Class]) -> bool {
    let codes = || classes.iter().filter_map(|class| class.option.as_ref()).map(|(code, _)| *code);
    codes().all(|code| IN_ASK.contains(&code) || WITH_FINGERPRINTS.contains(&code))
}

/// Whether a class asks for the client-id.
pub fn ask_for_client_id(classes: &[Class]) -> bool {
    classes.iter().any(|class| class.option.as_ref().is_some_and(|(code, _)| *code == code::CLIENT_ID))
}

fn is_member(class: &Class, request: &Request, trusted: bool) -> bool {
    let arch = class.arch.is_empty()
        || request.architectures().iter().any(|architecture| class.arch.contains(architecture));
    let vendor = class.vendor_class.as_ref().is_none_or(|prefix| {
        request.vendor_class().is_some_and(|vendor| vendor.starts_with(prefix.as_bytes()))
    });
    let user = class.user_class.as_ref().is_none_or(|wanted| {
        request.user_class().is_some_and(|sent| has_user_class(sent, wanted.as_bytes()))
    });
    let sent = |code| match code {
        code::RELAY_INFO => request.relay_info().filter(|_| trusted),
        code => request.options.get(code),
    };
    let option = class
        .option
        .as_ref()
        .is_none_or(|(code, value)| sent(*code).is_some_and(|sent| sent == value.as_slice()));
    arch && vendor && user && option
}

/// Option 77 as most boot ROMs send it (the bare text), or as RFC 3004 has it (parts with lengths).
fn has_user_class(sent: &[u8], wanted: &[u8]) -> bool {
    if sent == wanted {
        return true;
    }
    let mut rest = sent;
    while let [length, after @ ..] = rest {
        let Some((part, next)) = after.split_at_checked(usize::from(*length)) else { return false };
        if part == wanted {
            return true;
        }
        rest = next;
    }
    false
}
