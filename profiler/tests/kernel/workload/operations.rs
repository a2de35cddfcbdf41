//! Operations that isolation makes dearer, counted, with the CPU time that they took.

use std::fs::File;
use std::io::{Error, Read as _, Result};
use std::net::UdpSocket;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Options, PAGE, clock, map, policy};

/// Long enough that reading the clocks costs nothing, short enough that there are many of them.
const ROUND: Duration = Duration::from_millis(100);
/// Calls that are one operation.
const CALLS: usize = 20;
/// How a datagram begins that is to be sent back.
const ANSWER: u8 = 1;
/// Pages that are touched in an operation.
const PAGES: usize = 16;

/// For `--ms`, does what `--what` says, over and over:
///
/// - `files`: opens, reads and looks at a small file below `--dir`
/// - `reads`: reads a page of a file below `--dir`, which stays open
/// - `calls`: 20 system calls that do next to nothing
/// - `pages`: maps memory, touches 16 pages of it, and unmaps it
/// - `switches`: hands a byte to another thread, and has it back
/// - `packets`: sends `--burst` datagrams (1) to `--to`, and has the last one back
///
/// Prints operations and CPU time (`round OPERATIONS NS`) of each tenth of a second.
pub(super) fn operations(options: &Options) -> Result<()> {
    let end = Instant::now() + options.duration();
    let mut operation = prepare(options)?;
    // Caches are warm, and pages there.
    for _ in 0..100 {
        operation()?;
    }
    while Instant::now() < end {
        let (began, cpu_ns) = (Instant::now(), process_ns());
        let mut count = 0_u64;
        while began.elapsed() < ROUND {
            for _ in 0..10 {
                operation()?;
            }
            count += 10;
        }
        println!("round {count} {}", process_ns() - cpu_ns);
    }
    Ok(())
}

type Operation = Box<dyn FnMut() -> Result<()>>;

fn prepare(options: &Options) -> Result<Operation> {
    let dir = Path::new(options.text("--dir"));
    match options.text("--what") {
        "files" => {
            let path = dir.join("small");
            let mut buffer = [0; 512];
            Ok(Box::new(move || {
                let mut file = File::open(&path)?;
                let _ = file.read(&mut buffer)?;
                std::fs::metadata(&path).map(drop)
            }))
        }
        "reads" => {
            // Overlayfs has no times of access on layers below; without them, both do the same.
            let mut options = File::options();
            let options = options.read(true).custom_flags(libc::O_NOATIME);
            let file = options.open(dir.join("large"))?;
            let mut buffer = vec![0; PAGE];
            Ok(Box::new(move || {
                let read = rustix::io::pread(&file, &mut buffer, 0)?;
                if read == buffer.len() {
                    Ok(())
                } else {
                    Err(Error::other("the file is too short"))
                }
            }))
        }
        "calls" => Ok(Box::new(|| {
            for _ in 0..CALLS {
                let _ = std::hint::black_box(rustix::process::getppid());
            }
            Ok(())
        })),
        "pages" => Ok(Box::new(|| {
            let memory = map(PAGES)?;
            for page in 0..PAGES {
                // SAFETY: the byte is in the mapping, which nobody else knows.
                unsafe { memory.add(page * PAGE).write_volatile(1) };
            }
            // SAFETY: it is the mapping made above, and nothing refers to it.
            match unsafe { libc::munmap(memory.cast(), PAGES * PAGE) } {
                0 => Ok(()),
                _ => Err(Error::last_os_error()),
            }
        })),
        "switches" => {
            let (own, other) = UnixDatagram::pair()?;
            std::thread::spawn(move || {
                let mut byte = [0];
                while other.recv(&mut byte).is_ok() && other.send(&byte).is_ok() {}
            });
            Ok(Box::new(move || {
                let mut byte = [0];
                own.send(&byte)?;
                own.recv(&mut byte).map(drop)
            }))
        }
        "packets" => {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect(options.text("--to"))?;
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
            let burst = options.number("--burst", 1);
            Ok(Box::new(move || {
                for left in (0..burst).rev() {
                    let mut datagram = [0; 64];
                    datagram[0] = if left == 0 { ANSWER } else { 0 };
                    socket.send(&datagram)?;
                }
                // One that is lost costs a second, and no CPU time.
                let _ = socket.recv(&mut [0; 64]);
                Ok(())
            }))
        }
        other => Err(Error::other(format!("no operation called {other:?}"))),
    }
}

/// Sends the datagrams that come to `--on` and ask for it back, for `--ms`, as a thread with `--policy`; see [`policy`].
pub(super) fn echo(options: &Options) -> Result<()> {
    policy::apply(options)?;
    let end = Instant::now() + options.duration();
    let socket = UdpSocket::bind(options.text("--on"))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    println!("listening");
    let mut datagram = [0; 2048];
    while Instant::now() < end {
        if let Ok((length, from)) = socket.recv_from(&mut datagram)
            && datagram[0] == ANSWER
        {
            let _ = socket.send_to(&datagram[..length], from);
        }
    }
    Ok(())
}

/// CPU time of the whole process.
fn process_ns() -> u64 {
    clock::read(rustix::time::ClockId::ProcessCPUTime)
}
