//! Which keys are taken, which are refused, and what opens what.

use super::*;

const KEY: &str = "gw_live_0f9aKq2bXz71LmVtRw83Yd";
const OTHER: &str = "gw_live_pW4sTn6cUe05GhJkBv92Qi";
/// In parts, so that a search of the repository for the published key finds only where it is in use.
const PUBLIC_KEY: &str = concat!("gw_live_wTfpLJ5VB28q", "MXpOAhr7Uw");

fn digits(key: &str) -> String {
    hex(&Sha256::digest(key))
}

fn load(plain: &[&str], hashes: &str) -> Result<AdminKeys, KeyError> {
    AdminKeys::new(
        plain.iter().map(|key| SecretString::from(*key)),
        hashes,
        Published::Refused,
    )
}

#[track_caller]
fn check_refused(plain: &[&str], hashes: &str, expected: &KeyError) {
    let error = load(plain, hashes).unwrap_err();

    assert_eq!(&error, expected);
}

#[test]
fn each_of_several_keys_opens_under_its_own_id() {
    let keys = load(&[KEY], &format!("ci:{}", digits(OTHER))).unwrap();

    let ids: Vec<Option<&str>> = [KEY, OTHER, "else"]
        .map(|key| keys.verify(key.as_bytes()).map(|id| &**id))
        .to_vec();

    assert_eq!(ids, [Some(&digits(KEY)[..8]), Some("ci"), None]);
    assert_eq!(keys.disabled(), None);
}

#[test]
fn every_key_is_found_wherever_it_stands() {
    let plain: Vec<String> = (0..40).map(|number| format!("{KEY}{number:02}")).collect();
    let hashes: Vec<String> = plain
        .iter()
        .enumerate()
        .map(|(index, key)| format!("key-{index}:{}", digits(key)))
        .collect();
    let keys = load(&[], &hashes.join(",")).unwrap();

    for (index, key) in plain.iter().enumerate() {
        let id = keys.verify(key.as_bytes()).unwrap();

        assert_eq!(&**id, format!("key-{index}"));
    }
}

#[test]
fn nothing_or_white_space_is_not_configured_and_opens_nothing() {
    for (plain, hashes) in [(&[][..], ""), (&["", " \t\r\n"][..], " , ,\n")] {
        let keys = load(plain, hashes).unwrap();

        assert_eq!(keys.disabled(), Some(DisabledReason::NotConfigured));
        assert_eq!(keys.verify(b""), None);
    }
}

#[test]
fn a_key_file_holds_one_key_a_line() {
    let keys = load(&[&format!("{KEY}\r\n\n  {OTHER}\n")], "").unwrap();

    assert!(keys.verify(KEY.as_bytes()).is_some());
    assert!(keys.verify(OTHER.as_bytes()).is_some());
}

#[test]
fn a_key_that_is_given_twice_counts_once_and_keeps_its_name() {
    let hash = digits(KEY);
    let keys = load(&[KEY, KEY], &format!("ci:{hash},{}", hash.to_uppercase())).unwrap();

    assert_eq!(keys.ids().collect::<Vec<_>>(), ["ci"]);
}

#[test]
fn the_published_key_disables_everything_where_it_is_refused() {
    let hash = digits(PUBLIC_KEY);
    for (plain, hashes) in [(&[PUBLIC_KEY][..], ""), (&[KEY][..], hash.as_str())] {
        let keys = load(plain, hashes).unwrap();

        assert_eq!(keys.disabled(), Some(DisabledReason::PublishedKey));
        assert_eq!(keys.verify(PUBLIC_KEY.as_bytes()), None);
        assert_eq!(keys.verify(KEY.as_bytes()), None);
    }
}

#[test]
fn the_published_key_works_where_it_is_accepted_and_is_reported() {
    let keys = AdminKeys::new([PUBLIC_KEY.into()], "", Published::Accepted).unwrap();

    assert!(keys.verify(PUBLIC_KEY.as_bytes()).is_some());
    assert!(keys.holds_published_key());
    assert!(!load(&[KEY], "").unwrap().holds_published_key());
}

#[test]
fn a_key_below_sixteen_characters_is_refused() {
    check_refused(&[KEY, "0f9aKq2bXz71LmV"], "", &KeyError::TooShort { position: 2 });

    assert!(load(&["0f9aKq2bXz71LmVt"], "").is_ok());
}

#[test]
fn a_placeholder_is_refused() {
    for key in [
        "change-me-change-me",
        "CHANGE_ME_PLEASE_1234",
        "<your-admin-api-key>",
        "gw_live_YOUR_KEY_HERE_0000000",
        "example-key-0123456789",
        "xxxxxxxxxxxxxxxxxxxxxxxx",
        "0101010101010101010101",
        "Password12345678",
    ] {
        check_refused(&[key], "", &KeyError::Placeholder { position: 1 });
    }
}

#[test]
fn a_key_that_no_header_can_carry_is_refused() {
    let long = "aB3dE".repeat(103);
    for key in [
        "two words 0f9aKq2bXz71LmV",
        "schlüssel-0f9aKq2bXz71LmV",
        long.as_str(),
    ] {
        check_refused(&[key], "", &KeyError::Unsendable { position: 1 });
    }
}

#[test]
fn a_hash_entry_in_another_form_is_refused_by_position() {
    let hash = digits(KEY);
    let short = format!("{},ci:{}", digits(OTHER), &hash[1..]);
    check_refused(&[], &short, &KeyError::Hash { position: 2 });
    check_refused(&[], KEY, &KeyError::Hash { position: 1 });
    check_refused(
        &[],
        &format!("ci:{}", "ü".repeat(32)),
        &KeyError::Hash { position: 1 },
    );
    check_refused(&[], &format!("a b:{hash}"), &KeyError::Id { position: 1 });
    check_refused(&[], &format!(":{hash}"), &KeyError::Id { position: 1 });
    let twice = format!("ci:{hash},ci:{}", digits(OTHER));
    check_refused(&[], &twice, &KeyError::DuplicateId { position: 2 });
}

#[test]
fn more_than_64_hash_entries_are_refused() {
    let entries: Vec<String> = (0..65).map(|number| digits(&number.to_string())).collect();

    check_refused(&[], &entries.join(","), &KeyError::TooMany { position: 65 });
    assert_eq!(load(&[], &entries[..64].join(",")).unwrap().ids().count(), 64);
}

#[test]
fn a_token_above_512_bytes_opens_nothing() {
    let token = "aB3dE".repeat(103);
    let keys = load(&[], &digits(&token)).unwrap();

    assert_eq!(keys.verify(token.as_bytes()), None);
}

#[test]
fn neither_debug_output_nor_errors_hold_a_key_or_a_hash() {
    let shown = [
        format!("{:?}", load(&[KEY], "").unwrap()),
        format!("{:?}", load(&["two words 0f9aKq2bXz71LmV"], "").unwrap_err()),
        load(&[], KEY).unwrap_err().to_string(),
        load(&[], &format!("{KEY}:{KEY}")).unwrap_err().to_string(),
    ];

    for text in shown {
        assert!(!text.contains("0f9aKq2bXz71LmV"), "{text}");
        assert!(!text.contains(&digits(KEY)[8..]), "{text}");
    }
}
