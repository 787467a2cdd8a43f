//! Tests of spilled segments, in memory and in a file.

use super::*;

#[test]
fn pieces_come_back_from_memory_and_file() {
    let mut spill = Spill::new(10, None);
    let small = spill.put(vec![1, 2, 3, 4, 5, 6]).expect("room in memory");
    let large = spill.put((0..50).collect()).expect("room on disk");
    let mut found = [0; 3];
    spill.write(large, 10, &[99, 98]).expect("a change");
    spill.read(large, 9, &mut found).expect("it is there");
    assert_eq!(found, [9, 99, 98]);
    spill.write(small, 4, &[7]).expect("a change");
    spill.read(small, 3, &mut found).expect("it is there");
    assert_eq!(found, [4, 7, 6]);
    assert_eq!(spill.bytes(), 56);
    spill.forget(small);
    assert!(spill.read(small, 0, &mut found).is_err());
    assert_eq!(spill.bytes(), 50);
}

#[test]
fn space_in_the_file_is_used_again() {
    let mut spill = Spill::new(0, None);
    let piece = |byte: u8, len: usize| vec![byte; len];
    let mut ids: Vec<u32> = (0..6)
        .map(|i| spill.put(piece(i, 100)).expect("room"))
        .collect();
    assert_eq!(spill.space.end, 600);
    // As a context that grows, and moves to and fro, for a while: the file stays as long.
    for round in 0..50_u8 {
        for at in [1, 4, 2, 0, 5, 3] {
            spill.forget(ids[at]);
            let len = if round % 3 == 0 { 60 } else { 100 };
            ids[at] = spill.put(piece(round, len)).expect("room");
        }
        assert!(spill.space.end <= 800, "round {round}: {:?}", spill.space);
        for id in &ids {
            let mut found = [0; 60];
            spill.read(*id, 0, &mut found).expect("it is there");
            assert_eq!(found, [round; 60]);
        }
    }
    for id in ids {
        spill.forget(id);
    }
    assert_eq!((spill.bytes(), spill.space), (0, Space::default()));
    assert_eq!(
        spill
            .file
            .expect("a file")
            .metadata()
            .expect("its length")
            .len(),
        0
    );
}

#[test]
fn accesses_beyond_a_piece_are_errors() {
    for most_in_memory in [0, 1000] {
        let mut spill = Spill::new(most_in_memory, None);
        let [id, other] = [7, 8].map(|byte| spill.put(vec![byte; 10]).expect("room"));
        for from in [1, 11, u64::MAX - 3, u64::MAX] {
            assert_eq!(
                spill.read(id, from, &mut [0; 10]),
                Err(SpillError::Gone(id)),
                "{from}"
            );
            assert_eq!(
                spill.write(id, from, &[0; 10]),
                Err(SpillError::Gone(id)),
                "{from}"
            );
        }
        let mut found = [0; 10];
        spill.read(other, 0, &mut found).expect("it is there");
        assert_eq!(found, [8; 10]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_takes_no_space() {
    let mut spill = Spill::to_full_disk();
    assert!(spill.put(vec![0; 10]).is_err());
    assert_eq!((spill.bytes(), spill.space), (0, Space::default()));
}

#[cfg(target_os = "linux")]
#[test]
fn what_left_memory_does_not_go_to_a_ram_disk() {
    use crate::io::private::is_in_memory;
    let memory = PathBuf::from("/dev/shm");
    assert!(is_in_memory(&memory), "/dev/shm is a RAM disk");
    let (folder, _) = make_file(None, memory.clone()).expect("a file");
    assert!(!is_in_memory(&folder), "{}", folder.display());
    // A folder that was named explicitly is used as it is.
    assert_eq!(
        make_file(Some(memory.clone()), std::env::temp_dir())
            .expect("a file")
            .0,
        memory
    );
    let gone = make_file(Some("/nowhere/at/all".into()), memory)
        .expect_err("no folder")
        .to_string();
    assert!(
        gone.contains("/nowhere/at/all") && gone.contains("--spill-dir"),
        "{gone}"
    );
}
