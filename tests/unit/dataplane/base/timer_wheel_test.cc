#include "dataplane/base/timer_wheel.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "dataplane/base/rng.h"

namespace millrace {
namespace {

constexpr std::int64_t kTick = std::int64_t{1} << TimerWheel::kTickShift;

Instant at(std::int64_t nanoseconds) { return Instant::from_nanoseconds(nanoseconds); }

struct Probe {
  void fire(Instant now) {
    ++fired;
    when = now;
  }
  int fired = 0;
  Instant when;
  Timer timer = Timer::calling<&Probe::fire>(*this);
};

TEST(TimerWheel, NeverFiresEarlyAndAtMostOneTickLate) {
  Rng rng(1);
  for (int round = 0; round < 300; ++round) {
    const std::int64_t start = rng.below(1'000'000'000);
    TimerWheel wheel(at(start));
    Probe probe;
    const std::int64_t deadline = start + (std::int64_t{1} << rng.below(36)) + rng.below(1000);
    wheel.arm(probe.timer, at(deadline));
    wheel.advance(at(deadline - 1));
    ASSERT_EQ(probe.fired, 0) << deadline - start;
    wheel.advance(at(deadline + kTick));
    ASSERT_EQ(probe.fired, 1) << deadline - start;
    EXPECT_FALSE(probe.timer.is_armed());
  }
}

TEST(TimerWheel, FiresFarDeadlinesAtTheirTime) {
  const std::int64_t day = 86'400ll * 1'000'000'000;
  for (const std::int64_t days : {1, 30, 400, 3000, 4000, 20'000}) {
    TimerWheel wheel(at(12345));
    Probe probe;
    wheel.arm(probe.timer, at(days * day));
    Instant now = at(12345);
    while (now < at(days * day - 1)) {
      now = std::min(at(days * day - 1), std::max(wheel.next_expiry(), now + Duration::nanoseconds(kTick)));
      wheel.advance(now);
    }
    ASSERT_EQ(probe.fired, 0) << days;
    wheel.advance(at(days * day + kTick));
    ASSERT_EQ(probe.fired, 1) << days;
  }
}

TEST(TimerWheel, APastDeadlineFiresOnTheNextAdvance) {
  TimerWheel wheel(at(1'000'000'000));
  Probe probe;
  wheel.arm(probe.timer, at(5));
  EXPECT_EQ(wheel.advance(at(1'000'000'000 + 2 * kTick)), 1u);
}

TEST(TimerWheel, NeverDisarms) {
  TimerWheel wheel(at(0));
  Probe probe;
  wheel.arm(probe.timer, at(kTick));
  wheel.arm(probe.timer, Instant::never());
  EXPECT_FALSE(probe.timer.is_armed());
  EXPECT_TRUE(wheel.next_expiry().is_never());
  EXPECT_EQ(wheel.advance(at(100 * kTick)), 0u);
}

TEST(TimerWheel, ADestroyedTimerIsDisarmed) {
  TimerWheel wheel(at(0));
  {
    auto probe = std::make_unique<Probe>();
    wheel.arm(probe->timer, at(kTick));
  }
  EXPECT_EQ(wheel.advance(at(10 * kTick)), 0u);
}

TEST(TimerWheel, ATimerMayArmItselfAgainInItsCallback) {
  struct Periodic {
    void fire(Instant now) {
      ++fired;
      wheel.arm(timer, now + Duration::milliseconds(10));
    }
    TimerWheel wheel{at(0)};
    int fired = 0;
    Timer timer = Timer::calling<&Periodic::fire>(*this);
  } periodic;
  periodic.wheel.arm(periodic.timer, at(10'000'000));
  for (std::int64_t now = 0; now <= 1'000'000'000; now += 100'000) periodic.wheel.advance(at(now));
  EXPECT_GE(periodic.fired, 96);  // each a little late
  EXPECT_LE(periodic.fired, 100);
}

TEST(TimerWheel, ArmedForThePastInACallbackItFiresOnTheNextCallNotThisOne) {
  struct Greedy {
    void fire(Instant now) {
      ++fired;
      wheel.arm(timer, now);
    }
    TimerWheel wheel{at(0)};
    int fired = 0;
    Timer timer = Timer::calling<&Greedy::fire>(*this);
  } greedy;
  greedy.wheel.arm(greedy.timer, at(kTick));
  EXPECT_EQ(greedy.wheel.advance(at(1000 * kTick)), 1u);
  EXPECT_EQ(greedy.wheel.advance(at(2000 * kTick)), 1u);
  EXPECT_EQ(greedy.fired, 2);
}

TEST(TimerWheel, ACallbackMayDisarmATimerThatIsDueToo) {
  struct Killer {
    void fire(Instant) { victim->timer.disarm(); }
    Probe* victim = nullptr;
    Timer timer = Timer::calling<&Killer::fire>(*this);
  };
  TimerWheel wheel(at(0));
  Probe victim;
  Killer killer;
  killer.victim = &victim;
  wheel.arm(killer.timer, at(kTick));
  wheel.arm(victim.timer, at(kTick));
  EXPECT_EQ(wheel.advance(at(5 * kTick)), 1u);
  EXPECT_EQ(victim.fired, 0);
}

TEST(TimerWheel, NextExpiryIsABoundThatLeadsThereInFewSteps) {
  Rng rng(9);
  for (int round = 0; round < 200; ++round) {
    TimerWheel wheel(at(rng.below(1'000'000'000)));
    Probe probe;
    const Instant deadline = at(std::int64_t{1'000'000'000} + (std::int64_t{1} << rng.below(44)));
    wheel.arm(probe.timer, deadline);
    int steps = 0;
    while (probe.fired == 0) {
      const Instant next = wheel.next_expiry();
      ASSERT_LT(next, deadline + Duration::nanoseconds(kTick));
      wheel.advance(next);
      ASSERT_LT(++steps, 10);
    }
    EXPECT_GE(probe.when, deadline);
  }
}

// Random arming, moving, disarming and advancing, against a map. A timer is due once the first tick at or after its deadline has
// passed, but not before the tick after the one in which it was armed.
TEST(TimerWheel, AgreesWithANaiveModelUnderRandomOperations) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Rng rng(seed);
    std::int64_t now = static_cast<std::int64_t>(rng.below(1u << 31));
    TimerWheel wheel(at(now));
    std::vector<std::unique_ptr<Probe>> probes;
    for (int i = 0; i < 100; ++i) probes.push_back(std::make_unique<Probe>());
    std::map<std::size_t, std::int64_t> due;  // the tick in which the model fires it
    for (int step = 0; step < 5000; ++step) {
      const std::size_t i = rng.below(100);
      const std::uint32_t what = rng.below(10);
      if (what < 6) {
        const std::int64_t deadline = now - 1'000'000 + static_cast<std::int64_t>(rng.next() >> (23 + rng.below(30)));
        wheel.arm(probes[i]->timer, at(deadline));
        due[i] = std::max((std::max<std::int64_t>(deadline, 0) + kTick - 1) / kTick, now / kTick + 1);
      } else if (what < 7) {
        probes[i]->timer.disarm();
        due.erase(i);
      } else {
        now += static_cast<std::int64_t>(rng.next() >> (28 + rng.below(30)));
        std::size_t expected = 0;
        for (auto it = due.begin(); it != due.end();) {
          if (it->second > now / kTick) {
            ++it;
            continue;
          }
          ++expected;
          it = due.erase(it);
        }
        ASSERT_EQ(wheel.advance(at(now)), expected) << "seed " << seed << " step " << step;
      }
      ASSERT_EQ(probes[i]->timer.is_armed(), due.contains(i)) << "seed " << seed << " step " << step;
      const Instant next = wheel.next_expiry();
      ASSERT_EQ(next.is_never(), due.empty());
      for (const auto& [index, tick] : due) ASSERT_LE(next, at(tick * kTick));
    }
  }
}

}  // namespace
}  // namespace millrace
