//! What all peers of a swarm must achieve together: whole swarms of real clients in virtual time
//! ([`storrent::sim`]). After each event, what each client believes is compared with the truth.

mod faults;
mod liars;
mod places;
mod rivals;
mod rules;
mod seeds;

const KB: u64 = 1_000;
const MB: u64 = 1_000_000;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const BLOCK: u64 = 16 * KIB;
