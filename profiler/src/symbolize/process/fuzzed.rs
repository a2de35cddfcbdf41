//! Test only: the text of `/proc/PID/maps`, mutated. Its paths are whatever a container calls its files.

use super::maps::{Backing, executable};

#[test]
fn fuzz_maps() {
    let own = std::fs::read_to_string("/proc/self/maps").unwrap();
    let lines = "\
7f1e50000000-7f1e50001000 r-xp 00001000 00:2a 77                         /tmp/a b (deleted)
7f1e60000000-7f1e60001000 rwxp 00000000 00:00 0 
7f1e70000000-7f1e70001000 rwxp 00000000 00:00 0                          [anon:v8]
7ffd1b5c2000-7ffd1b5c4000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
";
    crate::fuzz::fuzz(&[own.as_str(), lines], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        assert!(executable(&text).count() <= text.lines().count());
        for line in executable(&text) {
            assert!(line.start < line.end);
            if let Backing::File { inode, path, .. } = line.backing {
                assert!(inode != 0 && !path.contains('\n'));
            }
        }
    });
}
