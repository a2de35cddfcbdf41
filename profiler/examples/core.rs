use ctprof::agent::*;
fn main() {
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(async {
        let (h, r) = channel();
        let mut plan = CorePlan::default();
        plan.linger = std::time::Duration::from_secs(5);
        plan.syscalls = std::env::args().any(|a| a == "syscalls");
        let (_tx, rx) = tokio::sync::watch::channel(plan);
        let (ready, _r) = tokio::sync::watch::channel(false);
        let t = std::time::Instant::now();
        let ask = async {
            for i in 0..12 {
                tokio::time::sleep(std::time::Duration::from_secs(3)).await;
                let t = std::time::Instant::now();
                let Some(x) = h.reading().await else { break };
                println!("--- {i} {:?} took {:?} groups {} ended {} lost {:?}", x.uptime, t.elapsed(), x.groups.len(), x.groups_ended, x.lost.iter().filter(|(_, n)| **n > 0).collect::<Vec<_>>());
                for g in x.groups.iter().take(12) {
                    println!("{:?} alive {} threads {:?} {:?} {:?} sys {:?} quota {:?}", g.key.container, g.alive, g.figures.threads, g.figures.time_ns.iter().filter(|(_, n)| **n > 0).map(|(s, n)| format!("{} {}", s.name(), n / 1_000_000)).collect::<Vec<_>>().join(" "), g.delayed_by, g.figures.syscalls.as_ref().map(|s| s.len()), g.figures.cpu_quota_cores);
                }
            }
        };
        tokio::select! { e = run(rx, r, ready, std::future::pending()) => println!("{e:?}"), () = ask => {} }
        println!("{:?}", t.elapsed());
    });
}
