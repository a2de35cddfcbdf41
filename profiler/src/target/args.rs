//! The options that choose what a command looks at, as they were typed.

/// Which containers. All options may be repeated and combined; without any, everything is meant.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Target (default: everything)")]
pub struct TargetArgs {
    /// A cgroup and all below it: a folder (/sys/fs/cgroup/…), a path from the root of the hierarchy
    /// (/docker/4f1c…), a systemd unit (nginx.service) or a pattern ('/docker/*', '**/*.service')
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<String>,

    /// A container by its name, its id, the first characters of its id, or as NAMESPACE/POD/NAME. What is started under
    /// the same name meanwhile is meant as well
    #[arg(long, value_name = "NAME|ID")]
    pub container: Vec<String>,

    /// All containers of a Kubernetes pod, also those that start or restart meanwhile; with --container, only those of
    /// this name
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub pod: Vec<String>,

    /// A process: its threads and its children, those that it has and those that come, whatever cgroups they are in
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
}

impl TargetArgs {
    /// Nothing was chosen: everything is meant.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.cgroup.is_empty()
            && self.container.is_empty()
            && self.pod.is_empty()
            && self.pid.is_empty()
    }
}
