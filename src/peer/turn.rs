//! Where a peer's thread sleeps, and how long: the one decision that keeps a client of
//! blocking threads both quick and free of deadlocks.
//!
//! # One thread, two masters
//! A peer's thread serves two masters. Main speaks to it through a channel, the peer through
//! a socket, and a thread can sleep on one of them only. (A system can wake a thread for any
//! of many sockets, by `poll`, but a channel is no socket. A pipe beside each channel would be
//! two more open files for each connection, and a system call for each command.) While the
//! thread sleeps on one side, the other side waits.
//!
//! A write is a third place to sleep in: when the peer reads slower than we send, the kernel
//! takes no more. That is how two threads can lock each other up:
//!
//! 1. We send blocks to the peer and do not read meanwhile; the peer does the same to us.
//! 2. Both kernels are full, since nobody reads. Both threads sleep in a write.
//! 3. Each waits for the other to read, for ever.
//!
//! # Sleep on the side that owes you something
//! At each moment it is known who owes whom what: main an answer, the kernel room for what it
//! did not take, the peer the blocks that it was asked for. Who owes something will soon make
//! a move, so that is the side to sleep on. [`next`] picks the first row that fits:
//!
//! | row | who owes what | the thread sleeps in | at most | wakes earlier when |
//! | --- | --- | --- | --- | --- |
//! | 1 | main owes us an answer; nobody owes anything else | the channel | [`TICK`] | main answers, at once |
//! | 2 | the kernel owes us room; the peer owes us no block | a write | [`TICK`] | the kernel takes some |
//! | 3 | the peer owes us many blocks | a read | [`TICK`] | [`BULK`] bytes are there |
//! | 4 | the same, and main has no more work | a read | half a tick | [`BULK`] bytes are there |
//! | 5 | the peer owes us a few blocks, and main has no more work | a read | a fifth of a tick | anything comes |
//! | 6 | the peer owes us a few blocks | a read | [`TICK`] | anything comes |
//! | 7 | main owes us news of the blocks that we just stored | a read | a fifth of a tick | anything comes |
//! | 8 | we owe the peer blocks, which wait for the upload limit | a read | [`TICK`] | anything comes |
//! | 9 | nobody owes anything | a read | [`TICK`] | anything comes |
//!
//! Why the rows stand in this order:
//! - **The answer first** (1): main never waits for anybody, so that the answer is there
//!   within microseconds, and the work that it brings begins at once. If the peer owes us
//!   blocks (3 to 6), the question was for more of them, and the next block that comes wakes
//!   the thread to hear the answer. If we owe it blocks (8), they wait for the upload limit,
//!   which takes longer than an answer; meanwhile the peer may say that it needs them no more.
//! - **Blocks before room** (3 to 6, not 2): each block that comes wakes the thread, and then
//!   it also writes what the kernel takes by then. A write that waits would not hear the peer.
//! - **The end of a download is not the time for patience** (4, 5, 7): main may be about to
//!   cancel what is on order, as somebody else brings it sooner; it says so through the
//!   channel, which nobody sleeps on. And a peer that shows us one piece at a time
//!   (a super-seed) waits to hear that the last one arrived.
//!
//! # Why a wrong guess costs at most one tick
//! The side that was guessed wrong is heard after the sleep, and no sleep outlasts a
//! [`TICK`]. Before each sleep the thread obeys all commands of main and hands the kernel what
//! it takes without waiting. If the kernel did not take all, or if main let a whole tick pass,
//! the thread also reads what is there without waiting. So the deadlock above ends at its
//! second step, since each side reads ten times a second at least.
//!
//! A tick is a compromise: a shorter one would wake threads for nothing (ten wake-ups a second
//! are what an idle connection costs), a longer one would let commands of main wait.

use std::time::Duration;

/// The longest that a peer thread sleeps on anything.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// What comes at once of a peer that sends without a break, in bytes. It has room in the
/// smallest receive buffer, beside a block that has come in part.
pub(crate) const BULK: usize = 96 * 1024;

/// Who owes whom what at the end of a turn, when all is done that can be done without
/// waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Debts {
    /// Main owes us the answer to a question (see [`crate::messages`]).
    pub answer: bool,
    /// The kernel owes us room: it did not take all that we have to say.
    pub room: bool,
    /// What the peer owes us of what we asked it for.
    pub blocks: Blocks,
    /// We owe the peer blocks that it asked for.
    pub uploads: bool,
    /// Main has no more work for us: the download is near its end, or this peer lacks the rest.
    pub no_more_work: bool,
    /// Main owes us news: which of the pieces that we stored are right.
    pub news: bool,
}

/// How many blocks the peer owes us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Blocks {
    /// None.
    None,
    /// Each is to be heard of as it comes.
    Few,
    /// So many that they may as well come in bulk: at least [`crate::pipeline::ENOUGH`], of a
    /// peer that itself waits for nothing of ours.
    Many,
}

/// Where to sleep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sleep {
    /// On the channel, up to a [`TICK`].
    Channel,
    /// In a write, up to a [`TICK`].
    Write,
    /// In a read.
    Read(Patience),
}

/// What a read waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// For anything, up to a [`TICK`].
    Usual,
    /// For [`BULK`] bytes, or what comes of them in a [`TICK`]. Most of what a slow peer
    /// costs is waking up: from a hundred seeds of 1 MB/s each a gigabyte took 105,000
    /// context switches and 3.4 s of CPU, and like this 27,000 and 2.2 s.
    Bulk,
    /// For [`BULK`] bytes, for half a tick.
    LastBulk,
    /// For anything, for a fifth of a tick.
    Last,
}

/// Picks the side to sleep on: the table of the module's text, row by row.
pub(crate) fn next(debts: Debts) -> Sleep {
    let Debts {
        answer,
        room,
        blocks,
        uploads,
        no_more_work,
        news,
    } = debts;
    match blocks {
        Blocks::None if answer && !room && !uploads => Sleep::Channel,
        Blocks::None if room => Sleep::Write,
        Blocks::Many if !no_more_work => Sleep::Read(Patience::Bulk),
        Blocks::Many => Sleep::Read(Patience::LastBulk),
        Blocks::Few if no_more_work => Sleep::Read(Patience::Last),
        Blocks::Few => Sleep::Read(Patience::Usual),
        Blocks::None if news => Sleep::Read(Patience::Last),
        Blocks::None if uploads => Sleep::Read(Patience::Usual),
        Blocks::None => Sleep::Read(Patience::Usual),
    }
}

impl Patience {
    /// The longest that it lasts.
    pub(crate) fn time(self) -> Duration {
        match self {
            Self::Usual | Self::Bulk => TICK,
            Self::LastBulk => TICK / 2,
            Self::Last => TICK / 5, // Linux counts in steps of up to 10 ms.
        }
    }

    /// How much is to come at once, if it comes before, in bytes.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Usual | Self::Last => 1,
            Self::Bulk | Self::LastBulk => BULK,
        }
    }
}

impl Sleep {
    /// How much room in the receive buffer it takes, in bytes.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Channel | Self::Write => 1,
            Self::Read(patience) => patience.bytes(),
        }
    }

    /// The longest that it lasts.
    #[cfg(test)]
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
    };

    fn owing(blocks: Blocks) -> Debts {
        Debts { blocks, ..EVEN }
    }

    /// All debts that there can be.
    fn all() -> impl Iterator<Item = Debts> {
        let bit = |bits: u32, n: u32| bits >> n & 1 == 1;
        (0..32).flat_map(move |bits| {
            [Blocks::None, Blocks::Few, Blocks::Many].map(|blocks| Debts {
                answer: bit(bits, 0),
                room: bit(bits, 1),
                blocks,
                uploads: bit(bits, 2),
                no_more_work: bit(bits, 3),
                news: bit(bits, 4),
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
    fn row_3_the_peer_owes_many_blocks() {
        let sleep = next(owing(Blocks::Many));
        assert_eq!(sleep, Sleep::Read(Patience::Bulk));
        assert_eq!(sleep.time(), TICK);
    }

    #[test]
    fn row_4_many_blocks_are_the_last() {
        let sleep = next(Debts {
            no_more_work: true,
            ..owing(Blocks::Many)
        });
        assert_eq!(sleep, Sleep::Read(Patience::LastBulk));
        assert_eq!(sleep.time(), TICK / 2);
    }

    #[test]
    fn row_5_a_few_blocks_are_the_last() {
        let sleep = next(Debts {
            no_more_work: true,
            ..owing(Blocks::Few)
        });
        assert_eq!(sleep, Sleep::Read(Patience::Last));
        assert_eq!(sleep.time(), TICK / 5);
    }

    #[test]
    fn row_6_the_peer_owes_a_few_blocks() {
        assert_eq!(next(owing(Blocks::Few)), Sleep::Read(Patience::Usual));
        let answer = Debts {
            answer: true,
            news: true,
            ..owing(Blocks::Few)
        };
        assert_eq!(next(answer), Sleep::Read(Patience::Usual));
    }

    #[test]
    fn row_7_main_owes_news_of_what_was_stored() {
        let news = Debts { news: true, ..EVEN };
        assert_eq!(next(news), Sleep::Read(Patience::Last));
    }

    #[test]
    fn row_8_we_owe_the_peer_blocks() {
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
    fn row_9_nobody_owes_anything() {
        assert_eq!(next(EVEN), Sleep::Read(Patience::Usual));
        let idle = Debts {
            no_more_work: true,
            ..EVEN
        };
        assert_eq!(next(idle), Sleep::Read(Patience::Usual));
    }

    #[test]
    fn no_sleep_outlasts_a_tick_and_none_is_on_a_side_that_owes_nothing() {
        for debts in all() {
            let sleep = next(debts);
            assert!(sleep.time() <= TICK, "{debts:?}");
            match sleep {
                Sleep::Channel => assert!(debts.answer, "{debts:?}"),
                Sleep::Write => assert!(debts.room, "{debts:?}"),
                Sleep::Read(patience) if patience.bytes() == BULK => {
                    assert_eq!(debts.blocks, Blocks::Many);
                }
                Sleep::Read(_) => {}
            }
        }
    }
}
