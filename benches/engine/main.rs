//! How long the engine and the codec take for one packet or request, without any
//! socket: `cargo bench --bench engine`. Twice for each, with few allocations and
//! with very many, as a packet should not cost more for those of others.
//!
//! Instructions, which unlike times are the same on every machine, have limits that
//! a test sees to: `benches/limits`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../tests/engine/client.rs"]
#[allow(dead_code, reason = "the engine's tests use the rest")]
mod client;
mod stage;
#[path = "../../tests/engine/world.rs"]
#[allow(dead_code, reason = "the engine's tests use the rest")]
mod world;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use floe::wire::{AttributeType, Message, channel_data};

use client::{Client, Request, frame};
use stage::{Stage, Work};
use world::addr;

const ALLOCATIONS: [usize; 2] = [100, 100_000];

fn engine(criterion: &mut Criterion) {
    for allocations in ALLOCATIONS {
        let mut stage = Stage::new(allocations);
        let mut group = criterion.benchmark_group("engine");
        group.throughput(Throughput::Elements(1));
        for work in Work::ALL {
            let id = BenchmarkId::new(work.name(), format!("{allocations} allocations"));
            group.bench_function(id, |bencher| bencher.iter_custom(|times| stage.time(work, times)));
        }
    }
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(1));
    let frame = frame(0x4001, &[0x5A; 172]);
    group.bench_function("ChannelData read", |bencher| {
        bencher.iter(|| channel_data::parse(black_box(&frame)).unwrap());
    });
    let mut client = Client::alice();
    let id = client.next_id();
    let send = Request::send(addr("203.0.113.7:4000"), &[0x5A; 172]).unsigned(id);
    group.bench_function("Send read", |bencher| {
        bencher.iter(|| {
            let message = Message::parse(black_box(&send)).unwrap();
            (message.xor_address(AttributeType::XOR_PEER_ADDRESS), message.range(AttributeType::DATA))
        });
    });
    client.nonce = vec![b'n'; 60];
    let allocate = client.sign(&Request::allocate());
    group.bench_function("Allocate read", |bencher| {
        bencher.iter(|| {
            let message = Message::parse(black_box(&allocate)).unwrap();
            (
                message.get(AttributeType::USERNAME).map(<[u8]>::len),
                message.get(AttributeType::NONCE).map(<[u8]>::len),
            )
        });
    });
}

criterion_group!(benches, engine, codec);
criterion_main!(benches);
