use proptest::prelude::*;

use super::*;
use crate::source::ContentType;

fn pool(bytes_max: u64) -> (tempfile::TempDir, Arc<SpoolPool>) {
    let folder = tempfile::tempdir().unwrap();
    let pool = SpoolPool::open(folder.path(), bytes_max).unwrap();
    (folder, pool)
}

fn plain(offset: u64, value: &[u8]) -> Stored<'_> {
    Stored {
        offset,
        timestamp_ms: 1_700_000_000_000 + offset as i64,
        create_time: true,
        key: None,
        value: Some(value),
        content_type: ContentType::Json,
        source: Some("a-0-00000001"),
        seq: Some(offset),
        damaged_next: None,
    }
}

fn offsets(spool: &mut Spool, from: u64, to: u64) -> Vec<u64> {
    let mut reader = spool.read(from, to).unwrap();
    let mut found = Vec::new();
    while let Some(message) = reader.next().unwrap() {
        found.push(message.offset);
    }
    found
}

#[test]
fn every_field_survives() {
    let (_folder, pool) = pool(1 << 30);
    let mut spool = Spool::new(&pool);
    let full = Stored {
        offset: 7,
        timestamp_ms: -5,
        create_time: false,
        key: Some(b"k"),
        value: Some(b"{}"),
        content_type: ContentType::Protobuf,
        source: Some("log-3-0000000a"),
        seq: Some(u64::MAX),
        damaged_next: Some(12),
    };
    let bare = Stored { offset: 9, key: Some(b""), value: None, source: None, seq: None, damaged_next: None, ..full };
    spool.append(&full).unwrap();
    spool.append(&bare).unwrap();
    let mut reader = spool.read(0, u64::MAX).unwrap();
    let first = reader.next().unwrap().unwrap();
    assert_eq!((first.offset, first.timestamp_ms, first.create_time), (7, -5, false));
    assert_eq!((first.key.as_deref(), first.value.as_deref()), (Some(&b"k"[..]), Some(&b"{}"[..])));
    assert_eq!(
        (first.content_type, first.source.as_deref(), first.seq),
        (ContentType::Protobuf, Some("log-3-0000000a"), Some(u64::MAX))
    );
    assert_eq!(first.damaged.map(|d| d.next), Some(12));
    let second = reader.next().unwrap().unwrap();
    assert_eq!((second.key.as_deref(), second.value, second.source, second.seq), (Some(&b""[..]), None, None, None));
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn what_an_earlier_process_left_is_removed_and_other_files_are_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("00000003.spool"), b"old").unwrap();
    fs::write(folder.path().join("notes.txt"), b"mine").unwrap();
    SpoolPool::open(folder.path(), 1 << 20).unwrap();
    assert!(!folder.path().join("00000003.spool").exists());
    assert!(folder.path().join("notes.txt").exists());
}

#[test]
fn a_cut_frees_chunks_and_a_reader_that_is_open_still_reads() {
    let (folder, pool) = pool(16 << 20); // chunks of 1 MiB
    let mut spool = Spool::new(&pool);
    let value = vec![b'x'; 100_000];
    for offset in 0..100 {
        spool.append(&plain(offset, &value)).unwrap();
    }
    let used = pool.used();
    let mut reader = spool.read(0, 100).unwrap();
    spool.cut(95).unwrap();
    assert!(pool.used() < used / 5, "{} of {used} bytes are still in use", pool.used());
    assert_eq!((spool.messages(), spool.value_bytes()), (5, 500_000));
    for offset in 100..200 {
        spool.append(&plain(offset, &value)).unwrap();
    }
    for offset in 0..100 {
        assert_eq!(reader.next().unwrap().map(|m| m.offset), Some(offset));
    }
    drop(reader);
    assert_eq!(offsets(&mut spool, 95, 200), (95..200).collect::<Vec<_>>());
    spool.cut(200).unwrap();
    assert_eq!((pool.used(), spool.messages(), spool.value_bytes()), (0, 0, 0));
    assert!(fs::read_dir(folder.path()).unwrap().count() <= SPARE_FILES);
    drop(spool);
    drop(pool);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_full_pool_says_so_until_there_is_room() {
    let (_folder, pool) = pool(16 << 20);
    let mut spool = Spool::new(&pool);
    let value = vec![0; 1 << 20];
    let mut offset = 0;
    while !pool.is_full() {
        spool.append(&plain(offset, &value)).unwrap();
        offset += 1;
    }
    assert!(pool.used() <= pool.bytes_max());
    assert!(!pool.has_room());
    spool.cut(offset).unwrap();
    assert!(pool.has_room());
}

#[derive(Debug, Clone)]
enum Step {
    Append { gap: u64, bytes: usize },
    Cut(f64),
    Read(f64, f64),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..3u64, 0..60_000usize).prop_map(|(gap, bytes)| Step::Append { gap, bytes }),
        2 => (0.0..1.1f64).prop_map(Step::Cut),
        2 => (0.0..1.0f64, 0.0..1.1f64).prop_map(|(a, b)| Step::Read(a, b)),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_is_a_list_that_is_cut_at_the_front(steps in proptest::collection::vec(step(), 1..200)) {
        let (_folder, pool) = pool(16 << 20);
        let mut spool = Spool::new(&pool);
        let mut model: VecDeque<(u64, usize)> = VecDeque::new();
        let mut next = 0;
        let mut base = 0;
        for step in steps {
            let at = |share: f64| base + ((next - base) as f64 * share) as u64;
            match step {
                Step::Append { gap, bytes } => {
                    let offset = next + gap;
                    spool.append(&plain(offset, &vec![7; bytes])).unwrap();
                    model.push_back((offset, bytes));
                    next = offset + 1;
                }
                Step::Cut(share) => {
                    let to = at(share);
                    spool.cut(to).unwrap();
                    model.retain(|(offset, _)| *offset >= to);
                    base = to.min(next);
                }
                Step::Read(from, to) => {
                    let (from, to) = (at(from), at(to));
                    let expected: Vec<u64> = model.iter().map(|(o, _)| *o).filter(|o| (from..to).contains(o)).collect();
                    prop_assert_eq!(offsets(&mut spool, from, to), expected);
                }
                Step::Clear => {
                    spool.clear();
                    model.clear();
                    base = next;
                }
            }
            prop_assert_eq!(spool.messages(), model.len() as u64);
            prop_assert_eq!(spool.value_bytes(), model.iter().map(|(_, b)| *b as u64).sum::<u64>());
        }
        prop_assert_eq!(offsets(&mut spool, 0, u64::MAX), model.iter().map(|(o, _)| *o).collect::<Vec<_>>());
    }
}
