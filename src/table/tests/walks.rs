//! The cursor and the tolerant driver tell the same story.

use proptest::prelude::*;

use crate::table::number::Number;
use crate::table::walk::{self, Visitor};
use crate::table::{cursor, tolerant};

/// Writes down what it is told; guesses keys as a real visitor does.
#[derive(Default, Debug, PartialEq)]
struct Story {
    told: Vec<String>,
    guess: Vec<u8>,
    guessed: String,
    altered: bool,
}

impl Story {
    fn tell(&mut self, what: String) {
        self.told.push(what);
    }
}

impl Visitor for Story {
    fn expected_key(&self) -> &[u8] {
        &self.guess
    }
    fn take_expected(&mut self) {
        self.tell(format!("key {}", self.guessed));
    }
    fn key(&mut self, key: &str) {
        self.guess = serde_json::to_vec(key).expect("a string");
        self.guessed = key.to_owned();
        self.tell(format!("key {key}"));
    }
    fn null(&mut self) {
        self.tell("null".to_owned());
    }
    fn boolean(&mut self, value: bool) {
        self.tell(value.to_string());
    }
    fn number(&mut self, number: Number<'_>) {
        self.tell(format!("{} {:x} {} {:?}", number.text, number.value.to_bits(), number.exact, number.int));
    }
    fn string(&mut self, value: &str) {
        self.tell(format!("string {value}"));
    }
    fn begin_object(&mut self) {
        self.tell("{".to_owned());
    }
    fn end_object(&mut self) {
        self.tell("}".to_owned());
    }
    fn begin_array(&mut self) {
        self.tell("[".to_owned());
    }
    fn end_array(&mut self) {
        self.tell("]".to_owned());
    }
    fn restart(&mut self) {
        self.told.clear();
    }
    fn altered(&mut self) {
        self.altered = true;
    }
}

/// What the cursor accepts, the tolerant driver tells in the same words; what that one refuses, the cursor does not accept.
fn compare(text: &str) {
    let (mut strict, mut kind) = (Story::default(), Story::default());
    let accepted = cursor::walk(text, &mut strict, &mut String::new()).is_ok();
    let tolerated = tolerant::walk(text, &mut kind).is_ok();
    if accepted {
        assert!(tolerated, "only the cursor accepts {text}");
        assert_eq!(strict.told, kind.told, "{text}");
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(), "{text}");
    } else if let Ok(value) = serde_json::from_str::<Box<serde_json::value::RawValue>>(text)
        && !text.contains("\\ud")
        && !text.contains("\\uD")
    {
        panic!("the cursor refuses {value}");
    }
}

fn json() -> impl Strategy<Value = String> {
    let space = prop_oneof![5 => Just(""), 1 => Just(" "), 1 => Just("\n\t ")];
    let string = prop_oneof![
        "[a-c]{0,3}",
        "[ -~&&[^\"\\\\]]{0,40}",
        "\\PC{0,12}".prop_map(|text: String| serde_json::to_string(&text).expect("text").trim_matches('"').to_owned()),
        Just("\\u00e9\\n\\t\\\"\\\\\\/".to_owned()),
        Just("\\ud83d\\ude00x".to_owned()),
    ]
    .prop_map(|text| format!("\"{text}\""));
    let number = prop_oneof![
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(|x| format!("{x:e}")),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(|x| x.to_string()),
        any::<i64>().prop_map(|x| x.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
    ];
    let leaf =
        prop_oneof![Just("null".to_owned()), Just("true".to_owned()), Just("false".to_owned()), number, string.clone()];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let entry = (string.clone(), space.clone(), inner.clone())
            .prop_map(|(key, space, value)| format!("{key}{space}:{space}{value}"));
        prop_oneof![
            (prop::collection::vec(inner, 0..6), space.clone())
                .prop_map(|(values, space)| format!("[{space}{}{space}]", values.join(","))),
            (prop::collection::vec(entry, 0..6), space.clone()).prop_map(|(entries, space)| format!(
                "{space}{{{}{space}}}",
                entries.join(&format!("{space},{space}"))
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_tell_the_same(text in json()) {
        compare(&text);
    }

    #[test]
    fn both_agree_on_broken_texts(text in json(), at in any::<prop::sample::Index>(), with in "[\\[\\]{}\",:\\\\0-9a-zN.-]{0,2}", cut in 0usize..3) {
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, with.chars());
        compare(&chars.into_iter().collect::<String>());
    }
}

#[test]
fn oddities_reach_the_tolerant_driver() {
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let mut story = Story::default();
    walk::walk(&deep, &mut story, &mut String::new()).expect("any depth");
    assert_eq!(story.told.len(), 10_001);
    let mut story = Story::default();
    walk::walk("[NaN,-Infinity,Infinity]", &mut story, &mut String::new()).expect("what Python writes");
    assert_eq!(story.told.len(), 5);
    for text in [r#"{"a":"x\ud800y","b":"\udc00"}"#, r#"["\ud800\u0041"]"#, r#"["\\ud800","\ud83d\ude00","\ud83d"]"#] {
        let mut story = Story::default();
        walk::walk(text, &mut story, &mut String::new()).expect("half a pair is mended");
        assert!(story.altered && story.told.iter().any(|told| told.contains('\u{fffd}')), "{text} {story:?}");
    }
    for text in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "[1 2]",
        "tru",
        "\"\u{1}\"",
        "[nan]",
        "{\"a\" 1}",
        "1 1",
        "[\"\\x\"]",
    ] {
        assert!(walk::walk(text, &mut Story::default(), &mut String::new()).is_err(), "{text}");
    }
}
