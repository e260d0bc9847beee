//! The process and its machine in a few numbers, as SRS shows them.
//!
//! All of it is read from /proc when it is asked for. What cannot be read there is 0, as at SRS.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::admin::system::{Machine, Memory, Process, Usage};
use crate::metrics::Protocol;

use super::{AdminContext, Envelope};

#[derive(Debug, Serialize)]
pub(in crate::admin) struct Summaries {
    data: Data,
}

#[derive(Debug, Serialize)]
struct Data {
    ok: bool,
    now_ms: u64,
    #[serde(rename = "self")]
    this: This,
    system: System,
}

#[derive(Debug, Serialize)]
struct This {
    version: &'static str,
    pid: u32,
    ppid: u32,
    argv: String,
    cwd: String,
    mem_kbyte: u64,
    /// A share: 0.5 is half of the memory.
    mem_percent: f64,
    /// A share of one core, since the last question.
    cpu_percent: f64,
    /// Seconds.
    srs_uptime: u64,
}

#[derive(Debug, Serialize)]
struct System {
    /// A share of all cores, since the last question.
    cpu_percent: f64,
    mem_ram_kbyte: u64,
    mem_ram_percent: f64,
    mem_swap_kbyte: u64,
    mem_swap_percent: f64,
    cpus: usize,
    cpus_online: usize,
    uptime: f64,
    /// As SRS spells it.
    ilde_time: f64,
    load_1m: f64,
    load_5m: f64,
    load_15m: f64,
    net_sample_time: u64,
    net_recv_bytes: u64,
    net_send_bytes: u64,
    srs_sample_time: u64,
    srs_recv_bytes: u64,
    srs_send_bytes: u64,
    conn_sys: u64,
    conn_sys_et: u64,
    conn_sys_tw: u64,
    conn_sys_udp: u64,
    conn_srs: usize,
}

pub(in crate::admin) async fn summaries(State(context): State<Arc<AdminContext>>) -> Json<Envelope<Summaries>> {
    let now_ms = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64);
    let usage = context.usage.lock().measure();
    let data =
        Data { ok: true, now_ms, this: This::read(&context, &usage), system: System::read(&context, &usage, now_ms) };
    Envelope::of(&context, Summaries { data })
}

impl This {
    fn read(context: &AdminContext, usage: &Usage) -> Self {
        let (process, memory) = (Process::read(), Memory::read());
        Self {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            ppid: process.parent,
            argv: std::env::args().collect::<Vec<_>>().join(" "),
            cwd: std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default(),
            mem_kbyte: process.resident_kilobytes,
            mem_percent: share(process.resident_kilobytes, memory.total_kilobytes),
            cpu_percent: usage.process,
            srs_uptime: context.started.elapsed().as_secs(),
        }
    }
}

impl System {
    fn read(context: &AdminContext, usage: &Usage, now_ms: u64) -> Self {
        let (memory, machine) = (Memory::read(), Machine::read());
        let protocols = [Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv, Protocol::Hls];
        let received = protocols.map(|protocol| context.metrics.ingress_bytes(protocol).get());
        let sent = protocols.map(|protocol| context.metrics.egress_bytes(protocol).get());
        Self {
            cpu_percent: usage.machine,
            mem_ram_kbyte: memory.total_kilobytes,
            mem_ram_percent: share(memory.used_kilobytes, memory.total_kilobytes),
            mem_swap_kbyte: memory.swap_kilobytes,
            mem_swap_percent: share(memory.used_swap_kilobytes, memory.swap_kilobytes),
            cpus: machine.cores,
            cpus_online: machine.cores,
            uptime: machine.uptime,
            ilde_time: machine.idle,
            load_1m: machine.load[0],
            load_5m: machine.load[1],
            load_15m: machine.load[2],
            net_sample_time: now_ms,
            net_recv_bytes: machine.received_bytes,
            net_send_bytes: machine.sent_bytes,
            srs_sample_time: now_ms,
            srs_recv_bytes: received.iter().sum(),
            srs_send_bytes: sent.iter().sum(),
            conn_sys: machine.sockets,
            conn_sys_et: machine.tcp_sockets,
            conn_sys_tw: machine.tcp_waiting,
            conn_sys_udp: machine.udp_sockets,
            conn_srs: context.admission.open_connections(),
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
