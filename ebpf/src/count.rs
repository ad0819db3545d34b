//! Counting, and the time that answers take.

use xdhcpd_common::counters::{Counter, Counters, TIME_BUCKETS, TIMED_ANSWERS};

use crate::clock;
use crate::maps::COUNTERS;
use crate::packet::whole;

/// This CPU's counters, while a frame is looked at.
pub(crate) struct Counting {
    counters: *mut Counters,
    started: u64,
}

/// Answers under 2^6 ns are in the first bucket.
const FIRST_BUCKET: u32 = 6;

impl Counting {
    #[inline(always)]
    pub(crate) fn here() -> Option<Self> {
        Some(Self { counters: COUNTERS.get_ptr_mut(0)?, started: 0 })
    }

    /// Notes when work on a request began, if its answer is to be timed.
    #[inline(always)]
    pub(crate) fn started(&mut self) {
        if self.answers().wrapping_add(1).is_multiple_of(TIMED_ANSWERS) {
            self.started = clock::exactly();
        }
    }

    /// How many there were.
    #[inline(always)]
    fn answers(&self) -> u64 {
        // SAFETY: as in `add_number`.
        let counters = unsafe { &*self.counters };
        counters.answered_offer.wrapping_add(counters.answered_ack)
    }

    /// Counts one.
    #[inline(always)]
    pub(crate) fn add(&mut self, counter: Counter) {
        self.add_number(counter as u32);
    }

    /// Counts one of the counter with this number.
    #[inline(always)]
    pub(crate) fn add_number(&mut self, counter: u32) {
        let at = whole(counter as usize);
        if at < Counter::ALL.len() {
            // SAFETY: the struct starts with one u64 for each counter, in their order, and no other
            // program runs on this CPU meanwhile that counts here.
            unsafe {
                let place = self.counters.cast::<u64>().wrapping_add(at);
                *place = (*place).wrapping_add(1);
            }
        }
    }

    /// Times one answer in [`TIMED_ANSWERS`]; it is counted by now.
    #[inline(always)]
    pub(crate) fn answered(&mut self) {
        if !self.answers().is_multiple_of(TIMED_ANSWERS) {
            return;
        }
        // SAFETY: as above.
        let counters = unsafe { &mut *self.counters };
        let took = clock::exactly().wrapping_sub(self.started);
        counters.answer_nanoseconds_sum = counters.answer_nanoseconds_sum.wrapping_add(took);
        let mut bucket = 0;
        while bucket < TIME_BUCKETS - 1 && took >> FIRST_BUCKET >> bucket != 0 {
            bucket = bucket.wrapping_add(1);
        }
        if let Some(count) = counters.answer_nanoseconds.get_mut(bucket) {
            *count = count.wrapping_add(1);
        }
    }
}
