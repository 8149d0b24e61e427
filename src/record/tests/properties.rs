//! What holds for any bytes: strict JSON, floats bit for bit, one id per row.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn any_bytes_become_strict_records(
        request in prop::collection::vec(any::<u8>(), 0..300),
        response in prop::collection::vec(any::<u8>(), 0..300),
        status in 100_u16..600,
        coding in prop::sample::select(vec!["", "gzip", "br", "zstd", "deflate"]),
        cut: bool,
        bytes_max in prop::option::of(1_200_usize..3_000),
    ) {
        let mut call = call(request, response);
        call.status = StatusCode::from_u16(status).ok();
        if !coding.is_empty() {
            call.response_headers.insert("content-encoding", HeaderValue::from_str(coding).expect("a word"));
        }
        if cut {
            call.request.kept = Kept::Cut;
        }
        let recorder = Recorder::new(64, "{model}".to_owned(), bytes_max, b"key".to_vec());
        let messages = recorder.messages(&call).1;
        prop_assert!(bytes_max.is_none_or(|max| messages.iter().all(|message| message.len() <= max)));
        prop_assert_eq!(strict(messages).len(), 1);
    }

    #[test]
    fn any_text_as_json_becomes_a_strict_record(text in "\\PC*", key in "\\PC*") {
        let body = serde_json::json!({ key.clone(): text }).to_string();
        let row = messages(&call(body.clone(), body)).remove(0);
        prop_assert_eq!(&row["inputs"][&key], &serde_json::json!(text));
        prop_assert_eq!(&row["outputs"][&key], &serde_json::json!(text));
    }

    #[test]
    fn every_float_round_trips_bit_for_bit(floats in prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 1..20)) {
        // As Python's json writes them, and with digits to spare.
        for form in [|float: f64| format!("{float:?}"), |float: f64| format!("{float:.30e}")] {
            let written: Vec<String> = floats.iter().map(|float| match float {
                nan if nan.is_nan() => "NaN".to_owned(),
                infinite if infinite.is_infinite() => format!("{}Infinity", if *infinite < 0.0 { "-" } else { "" }),
                finite => form(*finite),
            }).collect();
            let body = format!("[[{}]]", written.join(","));
            let message = recorder().messages(&call(body.clone(), body)).1.remove(0);
            let row: serde_json::Value = serde_json::from_slice(&message).expect("strict");
            let text = String::from_utf8(message).expect("UTF-8");
            for (position, float) in floats.iter().enumerate() {
                let value = &row["inputs"][format!("x{position}")];
                match float {
                    nan if nan.is_nan() => prop_assert_eq!(value, "NaN"),
                    infinite if infinite.is_infinite() => {
                        prop_assert_eq!(value, if *infinite > 0.0 { "Infinity" } else { "-Infinity" });
                    }
                    finite => {
                        // Read back from the text: a parser in between may round.
                        let token = token(&text, &format!("\"x{position}\":"));
                        prop_assert_eq!(token.parse::<f64>().map(f64::to_bits), Ok(finite.to_bits()), "{}", token);
                    }
                }
            }
        }
    }

    #[test]
    fn ids_count_from_zero_and_never_repeat(count in 0_usize..50) {
        let list = format!("[{}]", vec!["[1]"; count].join(","));
        let rows = messages(&call(list.clone(), list));
        prop_assert_eq!(rows.len(), count.max(1));
        for (index, row) in rows.iter().enumerate() {
            let id = if count < 2 { ID.to_owned() } else { format!("{ID}_{index}") };
            prop_assert_eq!(&row["id"], &serde_json::json!(id));
            prop_assert_eq!(&row["row_count"], &serde_json::json!(count));
        }
    }
}

fn token<'a>(text: &'a str, key: &str) -> &'a str {
    let start = text.find(key).expect("the key") + key.len();
    let rest = &text[start..];
    &rest[..rest.find([',', '}']).expect("an end")]
}

#[test]
fn integers_keep_their_digits() {
    let body = r#"{"id":12345678901234567890123,"big":18446744073709551616,"neg":-9007199254740993}"#;
    let message = recorder().messages(&call(body, "{}")).1.remove(0);
    let text = String::from_utf8(message).expect("UTF-8");
    assert!(text.contains(&format!("\"inputs\":{body}")), "{text}");
}

#[test]
fn duplicate_keys_are_all_written() {
    let message = recorder().messages(&call(r#"{"a":1,"a":2}"#, "{}")).1.remove(0);
    let text = String::from_utf8(message).expect("UTF-8");
    assert!(text.contains(r#""inputs":{"a":1,"a":2}"#), "{text}");
}
