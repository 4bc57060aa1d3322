//! The clock of a running gateway: steady, and drawn gently towards the machine's clock.
//!
//! `cli` and `demo` start one. Session rules compare its times with those of other gateways and of earlier
//! runs, so it must converge on the right time; but a step of the machine's clock (NTP, an operator, a virtual
//! machine that wakes) must neither end all sessions at once nor revive an ended one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use super::{Clock, Timestamp, millis};

/// Runs with the machine's steady clock and turns towards its wall clock by a tenth of the time that passes.
///
/// A correction by an hour takes ten. The first reading is believed as it is: after a start with a clock that was
/// years off, set it and restart.
///
/// PERF: looks at both only once in each tick of the kernel (1 to 10 ms), and so is as exact as that. Between the
/// ticks it costs a coarse reading, which no kernel makes a system call, and no lock.
#[derive(Debug)]
pub struct SteadyClock {
    course: Mutex<Course>,
    /// The tick at the last look.
    tick: AtomicU64,
    /// What is shown until the next.
    shown: AtomicU64,
}

impl SteadyClock {
    /// A clock that shows what the machine's clock shows now.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at(steady(), wall())
    }

    fn start_at(steady: Duration, wall: Duration) -> Self {
        let course = Mutex::new(Course { steady, shown: wall });
        Self { course, tick: AtomicU64::new(0), shown: AtomicU64::new(millis(wall)) }
    }

    fn read(&self, steady: Duration, wall: Duration) -> Timestamp {
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        let now = millis(course.reach(steady, wall));
        self.shown.store(now, Ordering::Release);
        Timestamp(now)
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let tick = tick();
        if self.tick.load(Ordering::Acquire) == tick {
            return Timestamp(self.shown.load(Ordering::Acquire));
        }
        let now = self.read(steady(), wall());
        // After `shown`: who sees this tick sees what was read in it, or later.
        self.tick.store(tick, Ordering::Release);
        now
    }
}

/// Where the clock was at its last reading.
#[derive(Debug)]
struct Course {
    steady: Duration,
    /// Since the Unix epoch.
    shown: Duration,
}

impl Course {
    fn reach(&mut self, steady: Duration, wall: Duration) -> Duration {
        // Zero for a thread that read the time and was overtaken by another on its way here.
        let elapsed = steady.saturating_sub(self.steady);
        let straight = self.shown.saturating_add(elapsed);
        let turn = elapsed / 10;
        self.steady = self.steady.max(steady);
        self.shown = wall.clamp(straight.saturating_sub(turn), straight.saturating_add(turn));
        self.shown
    }
}

/// The kernel's tick, by the milliseconds at which it came.
fn tick() -> u64 {
    millis(clock_gettime(ClockId::MonotonicCoarse).try_into().unwrap_or_default())
}

/// Time since the machine started, its sleep included: a session's time passes while a laptop's lid is shut.
fn steady() -> Duration {
    clock_gettime(ClockId::Boottime).try_into().unwrap_or_default()
}

/// A clock before 1970 reads as 1970.
fn wall() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: u64 = 86_400_000;
    const HOUR: u64 = 3_600_000;
    const START: u64 = 20_000 * DAY;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The machine's clock may be stepped anywhere between readings, which lie up to an hour apart.
    fn readings() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let elapsed = prop_oneof![0..20u64, 0..2000u64, 0..HOUR];
        let wall = prop_oneof![Just(0), START - 401 * DAY..START + 401 * DAY, START - HOUR..START + HOUR];
        prop::collection::vec((elapsed, wall), 1..100)
    }

    proptest! {
        #[test]
        fn it_runs_at_nine_to_eleven_tenths_whatever_the_wall_clock_does(readings in readings()) {
            let clock = SteadyClock::start_at(at(HOUR), at(START));
            let (mut steady, mut before) = (HOUR, START);
            for (elapsed, wall) in readings {
                steady += elapsed;
                let now = clock.read(at(steady), at(wall)).0;
                prop_assert!(now >= before, "{} back", before - now);
                prop_assert!(now - before <= elapsed + elapsed / 10 + 1, "{} in {elapsed}", now - before);
                prop_assert!(now - before + 1 >= elapsed - elapsed / 10, "{} in {elapsed}", now - before);
                before = now;
            }
            let passed = steady - HOUR;
            prop_assert!(before.abs_diff(START + passed) <= passed / 10 + 1, "errors must not add up");
        }

        #[test]
        fn it_arrives_at_the_wall_clock_in_ten_times_the_error(error in -400 * DAY as i64..400 * DAY as i64, steps in 1..50u64) {
            let clock = SteadyClock::start_at(at(0), at(START));
            let needed = error.unsigned_abs() * 10 + steps;
            let wall = |passed: u64| (START + passed).saturating_add_signed(error);
            for step in 1..=steps {
                let passed = needed.div_ceil(steps) * step;
                clock.read(at(passed), at(wall(passed)));
            }
            let passed = needed.div_ceil(steps) * steps + 1;
            prop_assert_eq!(clock.read(at(passed), at(wall(passed))).0, wall(passed));
            // And stays with it.
            prop_assert_eq!(clock.read(at(passed + 5), at(wall(passed + 5))).0, wall(passed + 5));
        }

        #[test]
        fn a_thread_that_was_overtaken_moves_nothing(late in 0..HOUR, wall in 0..2 * START) {
            let clock = SteadyClock::start_at(at(0), at(START));
            let now = clock.read(at(HOUR), at(START + HOUR));
            prop_assert_eq!(clock.read(at(late), at(wall)), now);
            prop_assert_eq!(clock.read(at(HOUR + 10), at(START + HOUR + 10)), Timestamp(START + HOUR + 10));
        }
    }

    #[test]
    fn a_jump_by_400_days_moves_it_by_a_tenth_of_the_time_that_passes() {
        for jumped in [START - 400 * DAY, START + 400 * DAY] {
            let clock = SteadyClock::start_at(at(0), at(START));
            assert_eq!(clock.read(at(0), at(jumped)).0, START);
            let now = clock.read(at(1000), at(jumped)).0;
            assert_eq!(now.abs_diff(START + 1000), 100);
            // Corrected: it comes back as gently.
            assert_eq!(clock.read(at(2000), at(START + 2000)).0, START + 2000);
        }
    }

    #[test]
    fn it_follows_a_wall_clock_that_is_slewed() {
        let clock = SteadyClock::start_at(at(0), at(START));
        for passed in (0..HOUR).step_by(1000) {
            let slewed = START + passed + passed / 2000;
            assert_eq!(clock.read(at(passed), at(slewed)).0, slewed);
        }
    }

    #[test]
    fn it_shows_the_time_that_passes() {
        let clock = SteadyClock::start();
        let (before, began) = (clock.now(), std::time::Instant::now());
        while began.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let shown = clock.now().since(before);
        let passed = began.elapsed();
        assert!(shown >= Duration::from_millis(35), "{shown:?}");
        assert!(shown <= passed.mul_f64(1.1) + Duration::from_millis(12), "{shown:?} of {passed:?}");
    }

    #[test]
    fn no_thread_sees_it_go_back() {
        let clock = SteadyClock::start();
        let latest = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50_000 {
                        let before = latest.load(Ordering::SeqCst);
                        let now = clock.now().0;
                        assert!(now >= before);
                        latest.fetch_max(now, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(latest.load(Ordering::SeqCst).abs_diff(millis(wall())) < HOUR);
    }
}
