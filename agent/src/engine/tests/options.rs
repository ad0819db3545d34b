//! Rows 7, 26 and 54 to 57: which options are sent, in which order, and what gives way.

use super::*;

fn with_hex(codes: &[(u8, usize)]) -> String {
    let entries: Vec<String> = codes
        .iter()
        .map(|(code, length)| format!("{{code: {code}, hex: \"{}\"}}", "ab".repeat(*length)))
        .collect();
    format!("options: {{custom: [{}]}}", entries.join(", "))
}

#[test]
fn c26_options_come_in_the_order_asked_and_the_mask_always() {
    let options = "options: {dns: [10.9.0.53], domainName: example.org, ntp: [10.9.0.123], mtu: 1500}";
    let mut lab = Lab::new(&rack(&[options]));
    let got = lab.offer(bare_discover(1).option(55, &[15, 6, 3, 28, 42]));
    assert_eq!(got.codes()[5..], [1, 15, 6, 3, 28, 42, 26]);
    assert_eq!(got.option(28), Some(vec![10, 9, 0, 255]));
    let got = lab.offer(discover(1));
    assert_eq!(got.codes()[5..], [1, 3, 6, 15, 26, 42], "28 only for who asks for it");
    let got = lab.offer(bare_discover(1));
    assert_eq!(got.codes()[5..], [1, 3, 6, 15, 26, 28, 42], "or for who asks for nothing");
}

#[test]
fn c07_what_was_asked_for_first_stays_longest() {
    let mut lab = Lab::new(&rack(&[&with_hex(&[(224, 150), (225, 150), (226, 40), (227, 127)])]));
    let got = lab.offer(bare_discover(1).option(55, &[226, 225, 224]));
    assert!(got.message.len() <= 548);
    for (code, length) in [(226, 40), (225, 150)] {
        assert_eq!(got.option(code).map(|value| value.len()), Some(length));
    }
    assert_eq!(got.option(224), None, "too long for what room there is");
    let got = lab.offer(bare_discover(1).option(55, &[226, 225, 224]).option(57, &[5, 220]));
    for (code, length) in [(226, 40), (225, 150), (224, 150), (227, 127)] {
        assert_eq!(got.option(code).map(|value| value.len()), Some(length));
    }
    assert_eq!(got.option(52), None);
}

#[test]
fn c07_no_option_57_makes_a_reply_longer_than_a_frame() {
    let mut lab = Lab::new(&rack(&[&with_hex(&[(224, 1000), (225, 1000)])]));
    let got = lab.offer(discover(1).option(57, &[255, 255]));
    assert!(got.frame.len() <= 1514);
    assert_eq!(got.option(224).map(|value| value.len()), Some(1000));
}

#[test]
fn c07_an_option_that_does_not_fit_takes_no_other_with_it() {
    let mut lab = Lab::new(&rack(&[&with_hex(&[(224, 700), (225, 20)])]));
    let got = lab.offer(bare_discover(1).option(55, &[224, 225, 3]));
    assert_eq!((got.option(224), got.option(225)), (None, Some(vec![0xab; 20])));
    assert_eq!(got.option(3), Some(vec![10, 9, 0, 1]));
}

#[test]
fn c54_what_does_not_fit_goes_into_file_and_sname_where_they_are_empty() {
    let mut lab = Lab::new(&rack(&[&with_hex(&[(224, 240), (225, 100), (226, 50)])]));
    let got = lab.offer(discover(1));
    assert_eq!(got.option(52), Some(vec![3]));
    assert_eq!(lab::walk(&got.message[108..236]), [(225, vec![0xab; 100])]);
    assert_eq!(lab::walk(&got.message[44..108]), [(226, vec![0xab; 50])]);

    let boot = "boot: {file: undionly.kpxe}";
    let mut lab = Lab::new(&rack(&[&with_hex(&[(224, 240), (225, 100), (226, 50)]), boot]));
    let got = lab.offer(discover(1));
    assert_eq!(got.option(52), Some(vec![2]));
    assert_eq!(got.message[108..122], *b"undionly.kpxe\0");
    assert_eq!(lab::walk(&got.message[44..108]), [(226, vec![0xab; 50])]);
}

#[test]
fn c55_the_nearest_of_network_class_and_reservation_wins_for_each_option() {
    let at = |level: u8| {
        format!(
            "options: {{subnetMask: 255.255.{level}.0, routers: [10.9.0.{level}], dns: [10.9.1.{level}], \
             domainName: d{level}.org, domainSearch: [s{level}.org], ntp: [10.9.2.{level}], mtu: 150{level}, \
             routes: [{{to: 10.0.0.0/8, via: 10.9.3.{level}}}], tftpServer: t{level}, bootFile: f{level}, \
             vendor: [{{code: 6, hex: \"0{level}\"}}], custom: [{{code: 224, hex: \"0{level}\"}}]}}"
        )
        .replace("255.255.0.", "255.255.255.")
    };
    let classes = format!(
        "classes: [{{name: x, match: {{vendorClass: X}}, {}}}]",
        at(1).replace("255.255.1", "255.255.128")
    );
    let reservation = format!(
        "reservations: [{{mac: \"02:00:00:00:00:05\", ip: 10.9.0.5, {}}}]",
        at(2).replace("255.255.2.", "255.255.192.")
    );
    let mut lab = Lab::new(&rack(&[&at(0), &classes, &reservation]));
    let codes = [1, 3, 6, 15, 119, 42, 26, 121, 66, 67, 43, 224];
    let mut said = |builder: Builder| {
        let got = lab.offer(builder.option(55, &codes).option(57, &[5, 220]));
        codes.map(|code| got.option(code).unwrap_or_else(|| panic!("no option {code}")))
    };
    let (network, class) = (said(bare_discover(1)), said(bare_discover(2).option(60, b"X")));
    let (reserved, both) = (said(bare_discover(5)), said(bare_discover(5).option(60, b"X")));
    assert_eq!(reserved, both, "a reservation is nearer than a class");
    for (at, code) in codes.iter().enumerate() {
        assert!(network[at] != class[at] && class[at] != reserved[at], "option {code}");
    }
    assert_eq!(network[..3], [vec![255, 255, 255, 0], vec![10, 9, 0, 0], vec![10, 9, 1, 0]]);
}

#[test]
fn c56_option_108_is_sent_only_to_who_asks_for_it() {
    let mut lab = Lab::new(&rack(&["options: {custom: [{code: 108, hex: \"00000708\"}]}"]));
    assert_eq!(lab.offer(discover(1)).option(108), None);
    assert_eq!(lab.offer(bare_discover(1)).option(108), None);
    assert_eq!(lab.offer(bare_discover(1).option(55, &[108])).number(108), Some(1800));
    assert_eq!(Lab::new(&rack(&[])).offer(bare_discover(1).option(55, &[108])).option(108), None);
}

#[test]
fn c57_option_60_is_sent_only_with_a_43_or_for_http_boot() {
    let with = |custom: &str| {
        let mut lab = Lab::new(&rack(&[&format!("options: {{custom: [{custom}]}}")]));
        lab.offer(discover(1)).option(60)
    };
    let pxe = "{code: 60, text: PXEClient}";
    assert_eq!(with(pxe), None);
    assert_eq!(with(&format!("{pxe}, {{code: 43, hex: \"0601083fff\"}}")), Some(b"PXEClient".to_vec()));
    assert_eq!(with("{code: 60, text: HTTPClient}"), Some(b"HTTPClient".to_vec()));
}

#[test]
fn c57_firmware_that_boots_over_http_and_gets_a_url_is_told_that_it_is_meant() {
    let classes = "classes: [{name: http, match: {arch: [16]}, boot: {file: \"http://10.9.0.2/boot.efi\"}}]";
    let mut lab = Lab::new(&rack(&[classes, "boot: {file: undionly.kpxe}"]));
    let class = b"HTTPClient:Arch:00016:UNDI:003001";
    let firmware = |client| discover(client).option(60, class).option(93, &[0, 16]);
    let got = lab.offer(firmware(1));
    assert_eq!(got.option(60), Some(b"HTTPClient".to_vec()));
    assert_eq!(got.message[108..132], *b"http://10.9.0.2/boot.efi");
    assert_eq!(
        lab.ack(selecting(1, got.yiaddr).option(60, class).option(93, &[0, 16])).option(60),
        got.option(60)
    );
    assert_eq!(
        lab.offer(discover(2).option(60, class)).option(60),
        None,
        "a file without a URL is another's"
    );
    assert_eq!(lab.offer(discover(3).option(60, b"PXEClient").option(93, &[0, 16])).option(60), None);
}

#[test]
fn c57_the_machines_own_id_comes_back_between_61_and_82() {
    let mut lab = Lab::new(&rack(&["relays: [10.9.0.9]"]));
    let id = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    let rom =
        |builder: Builder| relayed(builder.option(97, &id).option(61, &[9, 9]), [10, 9, 0, 9], &[1, 1, 5]);
    let offer = lab.offer(rom(discover(1)));
    let ack = lab.ack(rom(selecting(1, offer.yiaddr)));
    let nak = lab.nak(rom(selecting(1, ip(103))));
    for got in [offer, ack, nak] {
        assert!(got.codes().ends_with(&[61, 97, 82]), "{:?}", got.codes());
        assert_eq!(got.option(97), Some(id.to_vec()));
    }
    assert_eq!(lab.offer(discover(2)).option(97), None);
}

#[test]
fn c57_boot_file_and_server_are_chosen_by_class() {
    let classes = "classes: [{name: ipxe, match: {userClass: iPXE}, boot: {file: chain}}, \
                   {name: uefi, match: {arch: [7, 9]}, boot: {file: ipxe.efi}}]";
    let mut lab = Lab::new(&rack(&["boot: {file: undionly.kpxe, nextServer: 10.9.0.7}", classes]));
    let file = |got: &Got| String::from_utf8(got.message[108..236].to_vec()).unwrap().replace('\0', "");
    assert_eq!(file(&lab.offer(discover(1))), "undionly.kpxe");
    assert_eq!(file(&lab.offer(discover(1).option(93, &[0, 7]))), "ipxe.efi");
    let ipxe = lab.offer(discover(1).option(93, &[0, 7]).option(77, b"iPXE"));
    assert_eq!((file(&ipxe).as_str(), &ipxe.message[20..24]), ("chain", &[10, 9, 0, 7][..]));
}

#[test]
fn c57_a_machine_is_told_by_the_id_it_has_of_its_own() {
    let class = "classes: [{name: x, match: {option: {code: 97, hex: \"000102\"}}, boot: {file: mine}}]";
    let mut lab = Lab::new(&rack(&[class, "boot: {file: others}"]));
    let mut file = |builder| lab.offer(builder).message[108];
    assert_eq!(file(discover(1).option(97, &[0, 1, 2])), b'm');
    assert_eq!(file(discover(2).option(97, &[0, 1, 3])), b'o');
    assert_eq!(file(discover(3)), b'o');
}

#[test]
fn a_class_by_an_option_that_no_entry_knows_of_is_the_agents() {
    let by = |code: u8| format!("classes: [{{name: x, match: {{option: {{code: {code}, hex: \"0102\"}}}}}}]");
    for (code, is_kernels) in [(60, true), (61, true), (12, false), (124, false)] {
        let mut lab = Lab::new(&rack(&[&by(code)]));
        bound(&mut lab, 1);
        assert_eq!(lab.entry(mac(1)).is_some(), is_kernels, "{code}");
    }
}

#[test]
fn c51_a_class_by_option_82_believes_listed_relays_alone() {
    let class = "classes: [{name: x, match: {option: {code: 82, hex: \"010105\"}}, boot: {file: x}}]";
    let mut lab = Lab::new(&rack(&[class, "relays: [10.9.0.9]"]));
    let mut file = |builder| lab.offer(builder).message[108];
    assert_eq!(file(relayed(discover(1), [10, 9, 0, 9], &[1, 1, 5])), b'x');
    assert_eq!(file(relayed(discover(2), [10, 9, 0, 8], &[1, 1, 5])), 0);
    assert_eq!(file(discover(3).option(82, &[1, 1, 5])), 0);
}
