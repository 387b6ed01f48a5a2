//! Where a peer's thread sleeps, and how long. This one decision keeps a client of blocking threads
//! both fast and free of deadlocks. No I/O.
//!
//! # One thread, two sides
//! A peer's thread listens to two sides: to main through a channel, and to the peer through a
//! socket. But it can sleep on only one of them, and then it does not hear the other. (The system
//! call `poll` waits for several sockets, but a channel is not a socket. A pipe beside each channel
//! would cost two more open files for each connection, and a system call for each command.)
//!
//! A write is a third place to sleep. When the peer reads more slowly than we send, the kernel's
//! buffer fills up, and the write waits for room. Then two threads can lock each other up:
//!
//! 1. We send blocks to the peer and read nothing. The peer sends blocks to us and reads nothing.
//! 2. The buffers of both directions are full. Both threads sleep in a write.
//! 3. Each waits for the other to read, for ever.
//!
//! # Sleep on the side that owes something
//! At the end of each turn the thread knows who owes what ([`Debts`]). Main may owe the answer to a
//! question, the kernel room for more bytes, and the peer blocks that we requested. A debtor is
//! about to act, so the thread sleeps where it will notice that. [`next`] picks the first row that
//! fits:
//!
//! | row | who owes what | the thread sleeps in | at most | wakes earlier when |
//! | --- | --- | --- | --- | --- |
//! | 1 | main owes an answer; nobody owes room or blocks | the channel | [`TICK`] | main answers |
//! | 2 | the kernel owes room; the peer owes no blocks | a write | [`TICK`] | the kernel takes some bytes |
//! | 3 | a seed owes several blocks, for 1 s or longer | a read | two and a half ticks | [`BULK`] bytes are there |
//! | 4 | the peer owes many blocks; main may have more work | a read | [`TICK`] | [`BULK`] bytes are there |
//! | 5 | the peer owes many blocks; main has no more work | a read | half a tick | [`BULK`] bytes are there |
//! | 6 | the peer owes a few blocks; main has no more work | a read | a fifth of a tick | any byte is there |
//! | 7 | the peer owes a few blocks; main may have more work | a read | [`TICK`] | any byte is there |
//! | 8 | main owes news about the blocks that we just stored | a read | a fifth of a tick | any byte is there |
//! | 9 | we owe the peer blocks, which wait for the upload limit | a read | [`TICK`] | any byte is there |
//! | 10 | nobody owes anything, and the connection is quiet | a read | two and a half ticks | any byte is there |
//! | 11 | nobody owes anything | a read | [`TICK`] | any byte is there |
//!
//! *Any byte* means a whole message, if the peer needs 5 ms or more for a block and a part of the
//! message is here: before its end nothing else can come. Such a block comes in up to a dozen
//! packets, and the thread does not wake up for each.
//!
//! Why the rows have these conditions and times:
//! - **An answer comes at once** (row 1). Main never waits for anybody, so its answer is there
//!   within microseconds. Other debts go first. If the peer owes blocks (rows 3 to 7), the next
//!   block wakes the thread, which then reads the answer, too. If we owe the peer blocks (row 9),
//!   they wait for the upload limit, which takes longer than an answer. Meanwhile the peer may
//!   cancel them.
//! - **Blocks are more urgent than room** (rows 3 to 7, not row 2). Each block that arrives wakes
//!   the thread, and before its next sleep the thread writes what the kernel takes by then. A
//!   thread that sleeps in a write would not hear the peer.
//! - **A seed with much to send can wait** (row 3). It has every piece, so it needs no news and no
//!   blocks of ours. A cancel of main may come 250 ms late: it is nearly always about the last
//!   blocks on order, which are 1 s away. Most of what a slow peer costs is waking up its thread: 64
//!   MiB from 200 seeds at 50 kB/s took 7.0 s of CPU per GiB while these threads woke up every tick
//!   at the end, and takes 5.8.
//! - **The end of a download is no time to be patient** (rows 5, 6 and 8). Main may be about to
//!   cancel requests, because another peer sends the blocks sooner. It says so through the channel,
//!   where nobody sleeps. And a super-seed, which shows us one piece at a time, shows the next one
//!   only when it hears that we have the last. Of a slow peer only the last block is in row 6, when
//!   it is due within half a second: before that, each block that comes wakes the thread in time
//!   (row 7).
//! - **A quiet connection can wait** (row 10). Neither side may request blocks of the other. Only a
//!   command of main can come up to 250 ms late here. Usually it is about a new piece. That is no
//!   news to a seed, and makes nobody interested who already is; with anybody else, both have been
//!   silent for 2 s. An unchoke can come late, too, but is good for 10 s and more.
//!
//! # Why a wrong guess costs at most one tick
//! No sleep lasts longer than a [`TICK`], except in rows 3 and 10, where 250 ms are soon enough. After
//! each sleep the thread turns to the other sides: it obeys all commands of main and hands the
//! kernel what it takes without waiting. If the kernel did not take everything, or if main did not
//! answer within a tick, the thread also reads what is there, without waiting. So the deadlock
//! above ends at step 2: our thread reads, and so makes room for the peer, at least ten times a
//! second, or four times if it hears a seed.
//!
//! A shorter tick would wake threads for nothing: a connection already wakes its thread ten times a
//! second, a quiet one or a slow seed's four times. A longer tick would delay the commands of main.

use std::time::Duration;

/// The longest sleep of a peer's thread, except on a quiet connection, and while a seed has much to
/// send.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// How many bytes a read waits for while many blocks are on their way. They fit into the smallest
/// receive buffer, beside a block that has arrived in part.
pub(crate) const BULK: usize = 96 * 1024;

/// Who owes what at the end of a turn, when everything is done that needs no waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Debts {
    /// Main owes us the answer to a question (see [`crate::messages`]).
    pub answer: bool,
    /// The kernel owes us room: it has not taken everything that we send.
    pub room: bool,
    /// How many of the blocks that we requested the peer still owes us.
    pub blocks: Blocks,
    /// We owe the peer blocks that it requested.
    pub uploads: bool,
    /// Main has no more work for us, and what the peer owes us will soon be here: the download is
    /// near its end, or this peer lacks the rest.
    pub no_more_work: bool,
    /// Main owes us news: which of the pieces that we stored are right.
    pub news: bool,
    /// Neither side may request blocks of the other, and the peer can wait for news of ours.
    pub quiet: bool,
}

/// A number of blocks, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Blocks {
    None,
    /// A few: the thread wakes up for each.
    Few,
    /// At least 512 KiB or, at the end of a download, several that take half a second or longer, of a
    /// peer that wants nothing from us: they may arrive in bulk.
    Many,
    /// Several that take a seed 1 s or longer.
    Plenty,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sleep {
    /// On the channel, up to a [`TICK`].
    Channel,
    /// In a write, up to a [`TICK`].
    Write,
    Read(Patience),
}

/// What a read waits for, and how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// For any byte, up to a [`TICK`].
    Usual,
    /// For [`BULK`] bytes, up to a [`TICK`]. A slow peer costs mostly wake-ups: 1 GB from a hundred
    /// seeds, each at 1 MB/s, took 105,000 context switches and 3.4 s of CPU with a wake-up for any
    /// byte, and 27,000 and 2.2 s with this.
    Bulk,
    /// For [`BULK`] bytes, up to two and a half ticks.
    LongBulk,
    /// For [`BULK`] bytes, up to half a tick.
    LastBulk,
    /// For any byte, up to a fifth of a tick.
    Last,
    /// For any byte, up to two and a half ticks.
    Quiet,
}

/// Picks where to sleep: the table [above](self), row by row.
pub(crate) fn next(debts: Debts) -> Sleep {
    let Debts {
        answer,
        room,
        blocks,
        uploads,
        no_more_work,
        news,
        quiet,
    } = debts;
    match blocks {
        Blocks::None if answer && !room && !uploads => Sleep::Channel,
        Blocks::None if room => Sleep::Write,
        Blocks::Plenty => Sleep::Read(Patience::LongBulk),
        Blocks::Many if !no_more_work => Sleep::Read(Patience::Bulk),
        Blocks::Many => Sleep::Read(Patience::LastBulk),
        Blocks::Few if no_more_work => Sleep::Read(Patience::Last),
        Blocks::Few => Sleep::Read(Patience::Usual),
        Blocks::None if news => Sleep::Read(Patience::Last),
        Blocks::None if uploads => Sleep::Read(Patience::Usual),
        Blocks::None if quiet => Sleep::Read(Patience::Quiet),
        Blocks::None => Sleep::Read(Patience::Usual),
    }
}

impl Patience {
    pub(crate) fn time(self) -> Duration {
        match self {
            Self::Usual | Self::Bulk => TICK,
            Self::LastBulk => TICK / 2,
            Self::Quiet | Self::LongBulk => TICK * 5 / 2,
            Self::Last => TICK / 5, // Linux rounds timeouts by up to 10 ms.
        }
    }

    /// How many bytes end the wait early.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Usual | Self::Last | Self::Quiet => 1,
            Self::Bulk | Self::LongBulk | Self::LastBulk => BULK,
        }
    }
}

impl Sleep {
    /// Returns how much room in the receive buffer the sleep needs, in bytes.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Channel | Self::Write => 1,
            Self::Read(patience) => patience.bytes(),
        }
    }

    pub(crate) fn time(self) -> Duration {
        match self {
            Self::Channel | Self::Write => TICK,
            Self::Read(patience) => patience.time(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody owes anything.
    const EVEN: Debts = Debts {
        answer: false,
        room: false,
        blocks: Blocks::None,
        uploads: false,
        no_more_work: false,
        news: false,
        quiet: false,
    };

    fn owing(blocks: Blocks) -> Debts {
        Debts { blocks, ..EVEN }
    }

    const ALL_BLOCKS: [Blocks; 4] = [Blocks::None, Blocks::Few, Blocks::Many, Blocks::Plenty];

    /// All combinations of debts.
    fn all() -> impl Iterator<Item = Debts> {
        let bit = |bits: u32, n: u32| bits >> n & 1 == 1;
        (0..64).flat_map(move |bits| {
            ALL_BLOCKS.map(|blocks| Debts {
                answer: bit(bits, 0),
                room: bit(bits, 1),
                blocks,
                uploads: bit(bits, 2),
                no_more_work: bit(bits, 3),
                news: bit(bits, 4),
                quiet: bit(bits, 5),
            })
        })
    }

    #[test]
    fn row_1_main_owes_an_answer_and_nobody_anything_else() {
        let asked = Debts {
            answer: true,
            ..EVEN
        };
        assert_eq!(next(asked), Sleep::Channel);
        let hungry = Debts {
            no_more_work: true,
            news: true,
            ..asked
        };
        assert_eq!(next(hungry), Sleep::Channel, "the answer comes sooner");
        for busy in [
            Debts {
                room: true,
                ..asked
            },
            Debts {
                uploads: true,
                ..asked
            },
            Debts {
                blocks: Blocks::Few,
                ..asked
            },
        ] {
            assert_ne!(next(busy), Sleep::Channel, "{busy:?}");
        }
    }

    #[test]
    fn row_2_the_kernel_owes_room_and_the_peer_no_block() {
        let stuck = |blocks| Debts {
            room: true,
            answer: true,
            uploads: true,
            ..owing(blocks)
        };
        assert_eq!(next(stuck(Blocks::None)), Sleep::Write);
        assert_eq!(next(stuck(Blocks::Few)), Sleep::Read(Patience::Usual));
        assert_eq!(next(stuck(Blocks::Many)), Sleep::Read(Patience::Bulk));
    }

    #[test]
    fn row_3_a_seed_owes_blocks_for_long() {
        for no_more_work in [false, true] {
            let sleep = next(Debts {
                no_more_work,
                ..owing(Blocks::Plenty)
            });
            assert_eq!(sleep, Sleep::Read(Patience::LongBulk));
            assert_eq!(sleep.time(), Duration::from_millis(250));
        }
    }

    #[test]
    fn row_4_the_peer_owes_many_blocks() {
        let sleep = next(owing(Blocks::Many));
        assert_eq!(sleep, Sleep::Read(Patience::Bulk));
        assert_eq!(sleep.time(), TICK);
    }

    #[test]
    fn row_5_many_blocks_are_the_last() {
        let sleep = next(Debts {
            no_more_work: true,
            ..owing(Blocks::Many)
        });
        assert_eq!(sleep, Sleep::Read(Patience::LastBulk));
        assert_eq!(sleep.time(), TICK / 2);
    }

    #[test]
    fn row_6_a_few_blocks_are_the_last() {
        let sleep = next(Debts {
            no_more_work: true,
            ..owing(Blocks::Few)
        });
        assert_eq!(sleep, Sleep::Read(Patience::Last));
        assert_eq!(sleep.time(), TICK / 5);
    }

    #[test]
    fn row_7_the_peer_owes_a_few_blocks() {
        assert_eq!(next(owing(Blocks::Few)), Sleep::Read(Patience::Usual));
        let answer = Debts {
            answer: true,
            news: true,
            ..owing(Blocks::Few)
        };
        assert_eq!(next(answer), Sleep::Read(Patience::Usual));
    }

    #[test]
    fn row_8_main_owes_news_of_what_was_stored() {
        let news = Debts { news: true, ..EVEN };
        assert_eq!(next(news), Sleep::Read(Patience::Last));
    }

    #[test]
    fn row_9_we_owe_the_peer_blocks() {
        for answer in [false, true] {
            let debts = Debts {
                answer,
                uploads: true,
                ..EVEN
            };
            assert_eq!(next(debts), Sleep::Read(Patience::Usual));
        }
    }

    #[test]
    fn row_10_the_connection_is_quiet() {
        let quiet = Debts {
            quiet: true,
            ..EVEN
        };
        assert_eq!(next(quiet), Sleep::Read(Patience::Quiet));
        assert_eq!(next(quiet).time(), Duration::from_millis(250));
    }

    #[test]
    fn row_11_nobody_owes_anything() {
        assert_eq!(next(EVEN), Sleep::Read(Patience::Usual));
        let idle = Debts {
            no_more_work: true,
            ..EVEN
        };
        assert_eq!(next(idle), Sleep::Read(Patience::Usual));
    }

    #[test]
    fn only_who_may_wait_sleeps_longer_than_a_tick_and_none_on_a_side_that_owes_nothing() {
        for debts in all() {
            let sleep = next(debts);
            let owing = debts.answer || debts.room || debts.uploads || debts.news;
            let may_wait = match debts.blocks {
                Blocks::Plenty => true,
                Blocks::None => !owing && debts.quiet,
                Blocks::Few | Blocks::Many => false,
            };
            assert!(sleep.time() <= TICK || may_wait, "{debts:?}");
            match sleep {
                Sleep::Channel => assert!(debts.answer, "{debts:?}"),
                Sleep::Write => assert!(debts.room, "{debts:?}"),
                Sleep::Read(patience) if patience.bytes() == BULK => {
                    assert!(matches!(debts.blocks, Blocks::Many | Blocks::Plenty));
                }
                Sleep::Read(_) => {}
            }
        }
    }
}
