// Contexts that follow their files: replaced, refused, counted, forgotten.
#include "control-agent/secrets/secret_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "control-agent/secrets/secret_watcher.h"
#include "tests/unit/control-agent/tls_files.h"

namespace millrace::agent {
namespace {

using test::Directory;
using test::make_pair;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// A certificate in two files, and what a configuration would make of them.
struct Fixture {
  Directory directory;
  SecretStore store;

  void write(const test::KeyPair& pair) const {
    directory.write("tls.crt", pair.chain);
    directory.write("tls.key", pair.key);
  }
  [[nodiscard]] ContextMaker maker() const {
    return [this](FileReader& files) -> Result<MadeContext, std::string> {
      const auto chain = files.read(directory.path("tls.crt"));
      const auto key = files.read(directory.path("tls.key"));
      if (!chain) return Error<std::string>(chain.error());
      if (!key) return Error<std::string>(key.error());
      tls::ContextConfig config;
      config.certificates.push_back({.chain = *chain, .key = *key, .password = {}, .ocsp_response = {}});
      auto context = tls::Context::make(config);
      if (!context) return Error<std::string>(context.error().text);
      return MadeContext{.context = *context, .chain_paths = {directory.path("tls.crt")}, .authorities_path = {}};
    };
  }
  std::shared_ptr<tls::ContextSlot> add() {
    FileReader files;
    auto made = maker()(files);
    EXPECT_TRUE(made) << made.error();
    return store.add("listener", *made, files.take_files(), maker());
  }
};

TEST(SecretStore, LeavesWhatHasNotChanged) {
  Fixture fixture;
  fixture.write(make_pair("one"));
  const auto slot = fixture.add();
  const auto before = slot->current();
  EXPECT_THAT(fixture.store.refresh(), IsEmpty());
  EXPECT_EQ(slot->current(), before);
  EXPECT_THAT(fixture.store.contexts(), SizeIs(1));
}

TEST(SecretStore, ReplacesAContextWhoseFilesHaveChanged) {
  Fixture fixture;
  fixture.write(make_pair("one"));
  const auto slot = fixture.add();
  const auto before = slot->current();
  fixture.write(make_pair("two"));
  const auto changes = fixture.store.refresh();
  ASSERT_THAT(changes, SizeIs(1));
  EXPECT_EQ(changes[0].name, "listener");
  EXPECT_EQ(changes[0].error, "");
  EXPECT_EQ(changes[0].context, slot->current());
  EXPECT_EQ(slot->current()->certificates().at(0).subject, "CN=two");
  EXPECT_EQ(before->certificates().at(0).subject, "CN=one");  // who has it keeps it
  EXPECT_EQ(fixture.store.contexts().at(0).context, slot->current());
  EXPECT_EQ(fixture.store.updated(), 1U);
  EXPECT_THAT(fixture.store.refresh(), IsEmpty());
}

TEST(SecretStore, RefusesAKeyThatDoesNotFitOnceAndTakesItWhenTheRestHasCome) {
  Fixture fixture;
  fixture.write(make_pair("one"));
  const auto slot = fixture.add();
  const auto before = slot->current();
  const auto next = make_pair("two");
  fixture.directory.write("tls.key", next.key);
  const auto changes = fixture.store.refresh();
  ASSERT_THAT(changes, SizeIs(1));
  EXPECT_THAT(changes[0].error, HasSubstr("does not belong to the private key"));
  EXPECT_EQ(slot->current(), before);
  EXPECT_EQ(fixture.store.refused(), 1U);
  EXPECT_THAT(fixture.store.refresh(), IsEmpty());  // said once
  fixture.directory.write("tls.crt", next.chain);
  EXPECT_THAT(fixture.store.refresh(), SizeIs(1));
  EXPECT_EQ(slot->current()->certificates().at(0).subject, "CN=two");
}

TEST(SecretStore, RefusesWhatHasExpired) {
  Fixture fixture;
  fixture.write(make_pair("one"));
  const auto slot = fixture.add();
  fixture.write(make_pair("old", "DNS:a.example", -3600));
  EXPECT_THAT(fixture.store.refresh().at(0).error, HasSubstr("CN=old expired at "));
  EXPECT_EQ(slot->current()->certificates().at(0).subject, "CN=one");
}

TEST(SecretStore, KeepsAContextWhoseFileIsGone) {
  Fixture fixture;
  const auto pair = make_pair("one");
  fixture.write(pair);
  const auto slot = fixture.add();
  std::filesystem::remove(fixture.directory.path("tls.key"));
  EXPECT_NE(fixture.store.refresh().at(0).error, "");
  EXPECT_THAT(fixture.store.refresh(), IsEmpty());
  fixture.write(pair);
  EXPECT_EQ(fixture.store.refresh().at(0).error, "");
}

TEST(SecretStore, ForgetsASlotThatNobodyHas) {
  Fixture fixture;
  fixture.write(make_pair("one"));
  auto slot = fixture.add();
  slot.reset();
  EXPECT_THAT(fixture.store.contexts(), IsEmpty());
  fixture.write(make_pair("two"));
  EXPECT_THAT(fixture.store.refresh(), IsEmpty());
}

TEST(SecretWatcher, ReplacesContextsByItself) {
  auto fixture = std::make_unique<Fixture>();
  fixture->write(make_pair("one"));
  const auto slot = fixture->add();
  // The store is the fixture's; the pointer keeps all of it.
  const std::shared_ptr<Fixture> owner(std::move(fixture));
  const SecretWatcher watcher(std::shared_ptr<SecretStore>(owner, &owner->store));
  owner->write(make_pair("two"));
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (slot->current()->certificates().at(0).subject != "CN=two" && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(slot->current()->certificates().at(0).subject, "CN=two");
}

}  // namespace
}  // namespace millrace::agent
