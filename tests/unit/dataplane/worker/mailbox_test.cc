// Letters between threads of the agent and a worker.
#include "dataplane/worker/mailbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace millrace::worker {
namespace {

using State = Letter::State;

std::shared_ptr<Letter> query(std::size_t limit = 1) {
  return std::make_shared<Letter>(std::in_place_type<ConnectionQuery>, report::ConnectionFilter{}, limit);
}
constexpr auto kDo = [](Letter&) { return true; };
constexpr auto kPutOff = [](Letter&) { return false; };

TEST(Mailbox, ALetterIsTakenThenDone) {
  Mailbox mailbox;
  EXPECT_FALSE(mailbox.has_letters());
  const auto letter = query();
  ASSERT_TRUE(mailbox.post(letter));
  EXPECT_TRUE(mailbox.has_letters());
  EXPECT_EQ(letter->state(), State::kPosted);
  mailbox.for_each(kPutOff);
  EXPECT_EQ(letter->state(), State::kTaken);
  EXPECT_TRUE(mailbox.has_letters());
  mailbox.for_each(kDo);
  EXPECT_EQ(letter->state(), State::kDone);
  EXPECT_FALSE(mailbox.has_letters());
}

TEST(Mailbox, IsBoundedAndTakesMoreWhenSomeAreDone) {
  Mailbox mailbox;
  for (std::size_t i = 0; i < limits::kMailboxLetters; ++i) ASSERT_TRUE(mailbox.post(query()));
  EXPECT_FALSE(mailbox.post(query())) << "the worker is stuck";
  bool first = true;
  mailbox.for_each([&](Letter&) { return std::exchange(first, false); });
  EXPECT_TRUE(mailbox.post(query()));
  EXPECT_FALSE(mailbox.post(query()));
}

TEST(Mailbox, WaitingForAStuckWorkerEnds) {
  Mailbox mailbox;
  const auto letter = query();
  ASSERT_TRUE(mailbox.post(letter));
  EXPECT_FALSE(letter->wait_for(State::kTaken, std::chrono::milliseconds(5)));
}

TEST(Mailbox, KeepsALetterWhoseAskerIsGoneUntilItIsDone) {
  Mailbox mailbox;
  auto letter = query();
  const std::weak_ptr<Letter> watch = letter;
  ASSERT_TRUE(mailbox.post(letter));
  letter->abandon();
  letter.reset();
  ASSERT_FALSE(watch.expired());
  mailbox.for_each([](Letter& one) { return one.abandoned(); });
  ASSERT_TRUE(mailbox.post(query()));
  EXPECT_TRUE(watch.expired()) << "the next letter takes its place";
}

TEST(Mailbox, ServesAskersOfSeveralThreads) {
  Mailbox mailbox;
  std::atomic<bool> stop{false};
  std::thread worker([&] {
    while (!stop) {
      if (!mailbox.has_letters()) continue;
      mailbox.for_each([](Letter& letter) {
        std::get<ConnectionQuery>(letter.request).left_out = 42;
        return true;
      });
    }
  });
  std::atomic<int> answers{0};
  {
    std::vector<std::jthread> askers;
    for (int i = 0; i < 3; ++i) {
      askers.emplace_back([&] {
        for (int round = 0; round < 200; ++round) {
          const auto letter = query();
          while (!mailbox.post(letter)) std::this_thread::yield();
          if (round % 5 == 0) {
            letter->abandon();
            continue;
          }
          if (letter->wait_for(State::kDone, std::chrono::seconds(10)))
            answers += std::get<ConnectionQuery>(letter->request).left_out == 42;
        }
      });
    }
  }
  stop = true;
  worker.join();
  EXPECT_EQ(answers, 3 * 160);
}

}  // namespace
}  // namespace millrace::worker
