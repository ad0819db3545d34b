//! Row 57: which class says what a machine boots.

use super::*;

/// The configuration that the documentation shows, and that real firmware boots with in `tests/`.
const EXAMPLE: &str = include_str!("../../../examples/pxe/config.yaml");

fn file(got: &Got) -> String {
    String::from_utf8(got.message[108..236].to_vec()).unwrap().replace('\0', "")
}

#[test]
fn c57_the_example_has_a_file_for_every_firmware_and_for_ipxe_on_each() {
    let script = "http://10.9.0.2/boot.ipxe";
    for (architecture, vendor, loader) in [
        (0, "PXEClient:Arch:00000:UNDI:002001", "undionly.kpxe"),
        (7, "PXEClient:Arch:00007:UNDI:003001", "ipxe.efi"),
        (9, "PXEClient:Arch:00009:UNDI:003016", "ipxe.efi"),
        (16, "HTTPClient:Arch:00016:UNDI:003001", "http://10.9.0.2/ipxe.efi"),
    ] {
        let mut lab = Lab::new(EXAMPLE);
        let firmware =
            |builder: Builder| builder.option(93, &[0, architecture]).option(60, vendor.as_bytes());
        let offer = lab.offer(firmware(discover(1)));
        let ack = lab.ack(firmware(selecting(1, offer.yiaddr)));
        let ipxe = lab.offer(firmware(discover(1)).option(77, b"iPXE"));
        assert_eq!([file(&offer), file(&ack), file(&ipxe)], [loader, loader, script], "{vendor}");
        for got in [offer, ack, ipxe] {
            assert_eq!(got.message[20..24], [10, 9, 0, 2], "siaddr");
            // HTTP boot insists on it; it would send a PXE ROM looking for option 43.
            let class = (architecture == 16).then(|| b"HTTPClient".to_vec());
            assert_eq!(got.option(60), class, "{vendor}");
        }
    }
}

#[test]
fn c57_what_runs_on_a_machine_is_nearer_than_the_machine_whatever_the_order() {
    let [uefi, http, ipxe, other] = [
        "{name: uefi, match: {arch: [7]}, boot: {file: uefi}}",
        "{name: http, match: {arch: [7], vendorClass: HTTP}, boot: {file: http}}",
        "{name: ipxe, match: {userClass: iPXE}, boot: {file: ipxe}}",
        "{name: other, match: {arch: [7, 9]}, boot: {file: other}, options: {custom: [{code: 224, hex: \"01\"}]}}",
    ];
    for classes in [[uefi, http, ipxe, other], [ipxe, http, uefi, other]] {
        let mut lab = Lab::new(&rack(&[&format!("classes: [{}]", classes.join(", "))]));
        let mut given = |builder: Builder| lab.offer(builder.option(93, &[0, 7]));
        assert_eq!(file(&given(discover(1))), "uefi", "the first of two that are equally near");
        let http = given(discover(1).option(60, b"HTTPClient"));
        assert_eq!((file(&http).as_str(), http.option(224)), ("http", Some(vec![1])), "each adds its own");
        assert_eq!(file(&given(discover(1).option(60, b"HTTPClient").option(77, b"iPXE"))), "ipxe");
    }
}
