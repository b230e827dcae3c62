//! Baggage: format, bounds, decoding.

use std::borrow::Cow;

use gatewayz_tracing::w3c::baggage::{Baggage, MAX_BAGGAGE_BYTES, MAX_MEMBERS};

fn parse(headers: &[&str]) -> Option<Baggage> {
    Baggage::parse(headers.iter().map(|header| header.as_bytes()))
}

#[track_caller]
fn check(headers: &[&str], rendered: Option<&str>) {
    assert_eq!(
        parse(headers).as_ref().map(Baggage::as_str),
        rendered,
        "{headers:?}"
    );
}

#[test]
fn several_headers_are_one_list_in_order() {
    check(
        &["userId=alice", "serverNode=DF%2028,isProduction=false"],
        Some("userId=alice,serverNode=DF%2028,isProduction=false"),
    );
}

#[test]
fn whitespace_around_every_part_is_dropped() {
    let spaced = "SomeKey \t = \t SomeValue \t ; \t SomeProp \t , \t Key2 \t = \t Value2 \t ; \t Prop2 \t = \t PropVal";

    check(
        &[spaced],
        Some("SomeKey=SomeValue;SomeProp,Key2=Value2;Prop2=PropVal"),
    );
}

#[test]
fn a_value_may_contain_equals_signs_and_be_empty() {
    check(&["a=b=c==,d="], Some("a=b=c==,d="));
    assert_eq!(parse(&["a=b=c"]).unwrap().get("a").unwrap(), "b=c");
}

#[test]
fn properties_are_kept_with_and_without_value() {
    let baggage = parse(&["k=v;p1;p2=a%20b;p3=c=d"]).unwrap();

    let member = baggage.iter().next().unwrap();
    let properties: Vec<_> = member
        .properties()
        .map(|(name, value)| (name, value.map(Cow::into_owned)))
        .collect();

    assert_eq!((member.key(), member.value().as_ref()), ("k", "v"));
    assert_eq!(
        properties,
        [
            ("p1", None),
            ("p2", Some("a b".to_owned())),
            ("p3", Some("c=d".to_owned()))
        ]
    );
}

#[test]
fn values_are_percent_decoded_and_sent_on_as_received() {
    let baggage = parse(&["k=%09%20%22%27%3B%3Dasdf%21%40%23%24%25%5E%26%2A%28%29,u=%C3%a9"]).unwrap();

    assert_eq!(baggage.get("k").unwrap(), "\t \"';=asdf!@#$%^&*()");
    assert_eq!(baggage.get("u").unwrap(), "\u{e9}");
    assert_eq!(
        baggage.as_str(),
        "k=%09%20%22%27%3B%3Dasdf%21%40%23%24%25%5E%26%2A%28%29,u=%C3%a9"
    );
}

#[test]
fn bytes_that_are_not_utf_8_decode_to_the_replacement_character() {
    assert_eq!(parse(&["k=a%FFb"]).unwrap().get("k").unwrap(), "a\u{fffd}b");
}

#[test]
fn a_percent_sign_without_two_digits_stands_for_itself() {
    for (value, decoded) in [
        ("%", "%"),
        ("100%", "100%"),
        ("%4", "%4"),
        ("%zz", "%zz"),
        ("%%41", "%A"),
    ] {
        assert_eq!(
            parse(&[&format!("k={value}")]).unwrap().get("k").unwrap(),
            decoded
        );
    }
}

#[test]
fn a_malformed_member_is_left_out_alone() {
    for member in [
        "novalue", "=v", "k y=v", "k=a b", "k=\"q\"", "k=\\", "k=v;", "k=v;=p", "k=v;a b", "k=v;p=\"",
        "k=\u{e9}", "\u{e9}=v", "(k)=v", "",
    ] {
        check(&[&format!("a=1,{member},b=2")], Some("a=1,b=2"));
        check(&[member], None);
    }
}

#[test]
fn repeated_keys_stay_in_order_and_the_first_is_read() {
    check(&["a=1,b=2,a=3"], Some("a=1,b=2,a=3"));
    assert_eq!(parse(&["a=1,a=3"]).unwrap().get("a").unwrap(), "1");
    assert_eq!(parse(&["a=1"]).unwrap().get("A"), None);
}

#[test]
fn sixty_four_members_pass_and_no_more() {
    let members: Vec<String> = (0..100).map(|number| format!("key{number}=value")).collect();

    let kept = parse(&[&members.join(",")]).unwrap();

    assert_eq!(kept.as_str(), members[..MAX_MEMBERS].join(","));
    assert_eq!(kept.iter().count(), MAX_MEMBERS);
}

#[test]
fn exactly_8192_bytes_pass_and_a_member_that_does_not_fit_is_left_out() {
    let whole = format!("a={}", "0".repeat(MAX_BAGGAGE_BYTES - 2));
    let almost = &whole[..MAX_BAGGAGE_BYTES - 4];

    check(&[&whole], Some(&whole));
    check(&[&whole, "b=1"], Some(&whole));
    check(&[&format!("{whole}0"), "b=1"], Some("b=1"));
    check(&[almost, "bb=1", "b=1", "c=1"], Some(&format!("{almost},b=1")));
}
