//! `profile.pb.gz`: pprof, which `go tool pprof` and every profile store read.
//!
//! One sample for each stack of the window, with the labels that filter it, and one for each state with time that
//! no stack accounts for, so that the values add up to the containers' times. Samples are written one at a
//! time: two encoded messages one after the other are their merge (protobuf's encoding guide), so the
//! largest part of the file is never in memory at once.

pub mod proto;
mod tables;

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use super::notes;
use crate::analysis::summary::Summary;
use crate::analysis::{names, stacks};
use crate::model::{Container, ContainerIdentity, Stack, StateGroup, Window, stand_in};
use proto::{Label, Sample, ValueType};
use tables::{Locations, Strings};

/// Number of the field `sample` in the message `Profile`.
const SAMPLE_FIELD: u32 = 2;

/// Encoded samples are handed to the compressor in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

/// The times that a sample may have, in the order of its values, after the count of samples.
const TIME_TYPES: [&str; 4] = ["on_cpu", "run_queue", "throttled", "blocked"];

/// Position in [`TIME_TYPES`] of the time in a state.
const fn time_type(group: StateGroup) -> usize {
    match group {
        StateGroup::OnCpu => 0,
        StateGroup::RunQueue => 1,
        StateGroup::Throttled => 2,
        StateGroup::Blocked => 3,
    }
}

/// Writes the window, compressed. `order` is the containers' order in the summary.
pub fn write(
    window: &Window,
    summary: &Summary,
    order: &[usize],
    out: impl Write,
) -> std::io::Result<()> {
    // The file is read a few times and mostly repetition: the fastest level takes a third of the time of the
    // default for a tenth more bytes.
    let mut out = GzEncoder::new(out, Compression::fast());
    let mut strings = Strings::new();
    let mut locations = Locations::new(&window.frames);
    let keys = Keys::new(&mut strings);
    let mut samples = Samples::new(&keys, &mut strings, &mut locations);
    for position in order {
        samples.add(&window.rows[*position], None, &mut out)?;
    }
    out.write_all(&samples.piece)?;
    out.write_all(&rest(summary, strings, locations).encode_to_vec())?;
    out.finish()?.flush()
}

/// Writes what B has less what A has, as `go tool pprof -diff_base` has it: the samples of A are negative, and say that they
/// are a base.
///
/// # Errors
/// What the writer fails with.
pub fn write_difference(a: &Window, b: &Window, out: impl Write) -> std::io::Result<()> {
    let mut frames = b.frames.clone();
    let of_a = frames.join(&a.frames);
    let mut rows_a = a.rows.clone();
    for id in rows_a
        .iter_mut()
        .flat_map(|row| &mut row.stacks)
        .flat_map(|it| &mut it.frames)
    {
        *id = of_a[id.0 as usize];
    }
    let mut out = GzEncoder::new(out, Compression::fast());
    let mut strings = Strings::new();
    let mut locations = Locations::new(&frames);
    let keys = Keys::new(&mut strings);
    let base = Label {
        key: strings.position("pprof::base"),
        str: strings.position("true"),
        ..Label::default()
    };
    let mut samples = Samples::new(&keys, &mut strings, &mut locations);
    for row in &b.rows {
        samples.add(row, None, &mut out)?;
    }
    for row in &rows_a {
        samples.add(row, Some(&base), &mut out)?;
    }
    out.write_all(&samples.piece)?;
    let (summary, _) = Summary::of(b);
    out.write_all(&rest(&summary, strings, locations).encode_to_vec())?;
    out.finish()?.flush()
}

/// Samples on their way to the file.
struct Samples<'a, 'b> {
    keys: &'a Keys,
    strings: &'a mut Strings,
    locations: &'a mut Locations<'b>,
    sample: Sample,
    piece: Vec<u8>,
}

impl<'a, 'b> Samples<'a, 'b> {
    fn new(keys: &'a Keys, strings: &'a mut Strings, locations: &'a mut Locations<'b>) -> Self {
        Self {
            keys,
            strings,
            locations,
            sample: Sample {
                value: vec![0; 1 + TIME_TYPES.len()],
                ..Sample::default()
            },
            piece: Vec::with_capacity(2 * PIECE_BYTES),
        }
    }

    /// Adds the samples of a row; negative ones with the label of the base that others are compared with.
    fn add(
        &mut self,
        container: &Container,
        base: Option<&Label>,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        let Self {
            keys,
            strings,
            locations,
            sample,
            piece,
        } = self;
        let signed = |value| {
            if base.is_some() {
                -signed(value)
            } else {
                signed(value)
            }
        };
        let mut labels = keys.container_labels(&container.identity, strings);
        labels.extend(base.copied());
        for stack in &container.stacks {
            sample.location_id.clear();
            locations.of_stack(&stack.frames, strings, &mut sample.location_id);
            if stack.frames.is_empty() {
                let location = locations.stand_in(stand_in::NO_STACK, strings);
                sample.location_id.push(location);
            }
            let group = stack.state.group();
            sample.value.fill(0);
            if group == StateGroup::OnCpu {
                sample.value[0] = signed(stack.count);
            }
            sample.value[1 + time_type(group)] = signed(stack.time_ns);
            sample.label.clear();
            sample.label.extend_from_slice(&labels);
            keys.push_stack_labels(stack, strings, &mut sample.label);
            prost::encoding::message::encode(SAMPLE_FIELD, sample, piece);
            if piece.len() >= PIECE_BYTES {
                out.write_all(piece)?;
                piece.clear();
            }
        }
        for (state, ns) in stacks::rest(container) {
            sample.location_id.clear();
            let location = locations.stand_in(names::rest_of(state), strings);
            sample.location_id.push(location);
            sample.value.fill(0);
            sample.value[1 + time_type(state.group())] = signed(ns);
            sample.label.clear();
            sample.label.extend_from_slice(&labels);
            sample.label.push(keys.state_label(state.name(), strings));
            prost::encoding::message::encode(SAMPLE_FIELD, sample, piece);
        }
        Ok(())
    }
}

/// Everything but the samples.
fn rest(summary: &Summary, mut strings: Strings, locations: Locations<'_>) -> proto::Profile {
    let nanoseconds = strings.position("nanoseconds");
    let mut sample_type = vec![ValueType {
        r#type: strings.position("samples"),
        unit: strings.position("count"),
    }];
    sample_type.extend(TIME_TYPES.map(|name| ValueType {
        r#type: strings.position(name),
        unit: nanoseconds,
    }));
    let period_type = Some(ValueType {
        r#type: strings.position("cpu"),
        unit: nanoseconds,
    });
    let comment = comments(summary)
        .iter()
        .map(|comment| strings.position(comment))
        .collect();
    let default_sample_type = strings.position(TIME_TYPES[0]);
    let (mapping, location, function) = locations.into_parts();
    proto::Profile {
        sample_type,
        sample: Vec::new(),
        mapping,
        location,
        function,
        string_table: strings.into_vec(),
        time_nanos: signed(summary.start_unix_ns),
        duration_nanos: signed(summary.window_ns),
        period_type,
        period: signed(
            1_000_000_000_u64
                .checked_div(summary.sampling.frequency_hz)
                .unwrap_or(0),
        ),
        comment,
        default_sample_type,
    }
}

fn comments(summary: &Summary) -> Vec<String> {
    let mut comments = vec![
        format!("ctprof {}", summary.ctprof_version),
        format!("Linux {}", summary.kernel),
        format!(
            "{} at {} Hz on {} CPUs",
            summary.sampling.event, summary.sampling.frequency_hz, summary.sampling.cpus
        ),
    ];
    comments.extend(notes::losses(summary));
    comments
}

/// Positions of the labels' keys.
struct Keys {
    container: i64,
    container_id: i64,
    namespace: i64,
    pod: i64,
    thread: i64,
    state: i64,
    pid: i64,
    syscall: i64,
    quota: i64,
}

impl Keys {
    fn new(strings: &mut Strings) -> Self {
        Self {
            container: strings.position("container"),
            container_id: strings.position("container_id"),
            namespace: strings.position("namespace"),
            pod: strings.position("pod"),
            thread: strings.position("thread"),
            state: strings.position("state"),
            pid: strings.position("pid"),
            syscall: strings.position("syscall"),
            quota: strings.position("quota"),
        }
    }

    fn container_labels(&self, identity: &ContainerIdentity, strings: &mut Strings) -> Vec<Label> {
        let mut text = |key, value: &str| Label {
            key,
            str: strings.position(value),
            ..Label::default()
        };
        let mut labels = vec![text(self.container, &identity.name)];
        if !identity.id.is_empty() {
            labels.push(text(self.container_id, &identity.id));
        }
        if let Some(pod) = &identity.pod {
            labels.push(text(self.namespace, &pod.namespace));
            labels.push(text(self.pod, &pod.name));
        }
        labels
    }

    fn state_label(&self, state: &str, strings: &mut Strings) -> Label {
        Label {
            key: self.state,
            str: strings.position(state),
            ..Label::default()
        }
    }

    fn push_stack_labels(&self, stack: &Stack, strings: &mut Strings, labels: &mut Vec<Label>) {
        labels.push(Label {
            key: self.thread,
            str: strings.position(&stack.thread),
            ..Label::default()
        });
        labels.push(self.state_label(stack.state.name(), strings));
        if let Some(syscall) = &stack.syscall {
            labels.push(Label {
                key: self.syscall,
                str: strings.position(syscall),
                ..Label::default()
            });
        }
        if stack.burnt_quota {
            labels.push(Label {
                key: self.quota,
                str: strings.position("burnt"),
                ..Label::default()
            });
        }
        labels.push(Label {
            key: self.pid,
            num: i64::from(stack.pid),
            ..Label::default()
        });
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
