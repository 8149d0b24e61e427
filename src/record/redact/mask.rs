//! What looks like an e-mail address, a phone number or a card's number within a text -> a word in brackets.
//!
//! These are looks, not proofs, and they err towards hiding: an order's number of ten digits is masked as a phone's. Digits are
//! ASCII's. One pass per kind, addresses first, for they may hold digits.

use std::ops::Range;

use crate::config::MaskKind;

/// The text without what looks like one of `kinds`.
pub fn mask(text: &str, kinds: &[MaskKind]) -> String {
    let mut masked = text.to_owned();
    for (kind, word, find) in [
        (MaskKind::Email, "[email]", emails as fn(&str) -> Vec<Range<usize>>),
        (MaskKind::Card, "[card]", cards),
        (MaskKind::Phone, "[phone]", phones),
    ] {
        if kinds.contains(&kind) {
            masked = replaced(&masked, &find(&masked), word);
        }
    }
    masked
}

/// The text with `word` in place of each range; they are in order and do not overlap.
fn replaced(text: &str, ranges: &[Range<usize>], word: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for range in ranges {
        out.push_str(&text[from..range.start]);
        out.push_str(word);
        from = range.end;
    }
    out.push_str(&text[from..]);
    out
}

/// Letters around an `@`, with a dot behind it.
fn emails(text: &str) -> Vec<Range<usize>> {
    let is_local = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c);
    let is_domain = |c: char| c.is_alphanumeric() || c == '.' || c == '-';
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices('@') {
        let floor = found.last().map_or(0, |range| range.end);
        if at < floor {
            continue;
        }
        let before = &text[floor..at];
        let local = before.len() - before.trim_end_matches(is_local).len();
        let after = &text[at + 1..];
        let domain = after[..after.len() - after.trim_start_matches(is_domain).len()].trim_end_matches(['.', '-']);
        if local > 0 && domain.trim_start_matches('.').contains('.') {
            found.push(at - local..at + 1 + domain.len());
        }
    }
    found
}

/// A group of digits: where it stands.
type Group = Range<usize>;

/// Groups of digits that follow each other with at most `gap_max` characters of `separators` between them.
fn runs(text: &str, separators: &str, gap_max: usize) -> Vec<Vec<Group>> {
    let bytes = text.as_bytes();
    let mut runs: Vec<Vec<Group>> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let end = bytes[at..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |length| at + length);
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| joins(&text[last.end..at], separators, gap_max)) => {
                run.push(at..end);
            }
            _ => runs.push(std::iter::once(at..end).collect()),
        }
        at = end;
    }
    runs
}

fn joins(gap: &str, separators: &str, gap_max: usize) -> bool {
    gap.chars().count() <= gap_max && gap.chars().all(|c| separators.contains(c))
}

/// Goes through each run: `take` says how many of the groups from here on are one number, and 0 if none begins here.
fn taken(runs: Vec<Vec<Group>>, take: impl Fn(&[Group]) -> usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for run in runs {
        let mut rest = run.as_slice();
        while let [first, ..] = rest {
            let count = take(rest);
            if count > 0 {
                found.push(first.start..rest[count - 1].end);
            }
            rest = &rest[count.max(1)..];
        }
    }
    found
}

/// 13 to 19 digits in groups, whose last is the check digit of the rest.
fn cards(text: &str) -> Vec<Range<usize>> {
    taken(runs(text, " -\u{a0}", 1), |groups| {
        counts(groups, 19)
            .filter(|(count, digits)| *digits >= 13 && passes_luhn(text, &groups[..*count]))
            .last()
            .map_or(0, |(count, _)| count)
    })
}

/// 7 to 15 digits in groups, but for dates; with the `+` or bracket before them.
fn phones(text: &str) -> Vec<Range<usize>> {
    let mut found = taken(runs(text, " -.()/\u{a0}", 3), |groups| {
        if is_date(groups) {
            return 0;
        }
        counts(groups, 15).filter(|(_, digits)| *digits >= 7).last().map_or(0, |(count, _)| count)
    });
    for range in &mut found {
        range.start = text[..range.start].trim_end_matches(['+', '(']).len();
    }
    found
}

/// How many groups make how many digits, up to `most`.
fn counts(groups: &[Group], most: usize) -> impl Iterator<Item = (usize, usize)> {
    groups
        .iter()
        .scan(0, |digits, group| {
            *digits += group.len();
            Some(*digits)
        })
        .enumerate()
        .map(|(at, digits)| (at + 1, digits))
        .take_while(move |(_, digits)| *digits <= most)
}

/// `2026-11-25`, `25.11.2026`.
fn is_date(groups: &[Group]) -> bool {
    let lengths: Vec<usize> = groups.iter().take(3).map(Range::len).collect();
    lengths == [4, 2, 2] || lengths == [2, 2, 4]
}

/// ISO/IEC 7812-1, annex B.
fn passes_luhn(text: &str, groups: &[Group]) -> bool {
    let digits = groups.iter().rev().flat_map(|group| text.as_bytes()[group.clone()].iter().rev());
    let sum: u32 = digits
        .enumerate()
        .map(|(at, digit)| match (at % 2, u32::from(digit - b'0')) {
            (0, digit) => digit,
            (_, digit) => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn masks(kind: MaskKind, cases: &[(&str, &str)]) {
        for (text, masked) in cases {
            assert_eq!(mask(text, &[kind]), *masked, "{text}");
        }
    }

    #[test]
    fn addresses_are_masked() {
        masks(
            MaskKind::Email,
            &[
                ("write to ann@example.com.", "write to [email]."),
                ("<Ann.O'Neil+x@mail.example.co.uk>", "<[email]>"),
                ("größe@müller.de,b@c.de", "[email],[email]"),
                ("a@b@c.de", "a@[email]"),
                ("mailto:x@y.z?subject=hi", "mailto:[email]?subject=hi"),
                ("meet @ 5", "meet @ 5"),
                ("@home.de a@b a@.b", "@home.de a@b a@.b"),
                ("@@@", "@@@"),
                ("", ""),
            ],
        );
    }

    #[test]
    fn cards_are_masked_by_their_check_digit() {
        masks(
            MaskKind::Card,
            &[
                ("pay 4111 1111 1111 1111 now", "pay [card] now"),
                ("4111111111111111", "[card]"),
                ("5500-0055-5555-5559/378282246310005", "[card]/[card]"),
                ("no 12 4111 1111 1111 1111 35", "no 12 [card] 35"),
                ("x4111111111111111y", "x[card]y"),
                ("4111 1111 1111 1112", "4111 1111 1111 1112"),
                ("41111111111111111111111111", "41111111111111111111111111"),
                ("4111 1111", "4111 1111"),
            ],
        );
    }

    #[test]
    fn phone_numbers_are_masked_and_dates_are_not() {
        masks(
            MaskKind::Phone,
            &[
                ("call +49 (0)30 / 123 456", "call [phone]"),
                ("(555) 123-4567 or 555.123.4567", "[phone] or [phone]"),
                ("tel:+15551234567;", "tel:[phone];"),
                ("5551234567, 5559876543 12", "[phone], [phone]"),
                ("on 2026-11-25 and 25.11.2026", "on 2026-11-25 and 25.11.2026"),
                ("2 of 30, 110 years", "2 of 30, 110 years"),
                ("ü+49 30 1234567ü", "ü[phone]ü"),
            ],
        );
    }

    #[test]
    fn kinds_do_not_meet() {
        let all = [MaskKind::Phone, MaskKind::Card, MaskKind::Email];
        let text = "a5551234567@b.de 4111 1111 1111 1111 +15551234567";
        assert_eq!(mask(text, &all), "[email] [card] [phone]");
        assert_eq!(mask(&mask(text, &all), &all), mask(text, &all));
        assert_eq!(mask(text, &[MaskKind::Email]), "[email] 4111 1111 1111 1111 +15551234567");
    }
}
