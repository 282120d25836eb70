// What TLS adds to a byte stream: handshakes that fail, sessions that are resumed, records that are forged, ends that are no
// ends.
#include "dataplane/secure/tls_stream.h"

#include <gtest/gtest.h>

#include <malloc.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "tests/support/pipe_recorder.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_pipe.h"
#include "tls/engines/openssl_engine.h"

namespace millrace::secure {
namespace {

using stream::CloseReason;
using test::Authority;
using test::RecordingUser;
using tls::Alert;
using tls::Version;

const SocketAddress kServer{IpAddress::v4(192, 0, 2, 80), 443};

const Authority& authority() {
  static const Authority made("secure");
  return made;
}

tls::CertificateConfig identity(const Authority& by, const test::CertificateSpec& spec = {}) {
  const test::Issued leaf = by.issue(spec);
  return {.chain = leaf.certificate, .key = leaf.key, .password = {}, .ocsp_response = {}};
}

tls::ContextConfig server_config(Version version = Version::kTls13) {
  tls::ContextConfig config;
  config.least_version = config.most_version = version;
  config.certificates.push_back(identity(authority()));
  return config;
}

tls::ContextConfig client_config() {
  tls::ContextConfig config;
  config.role = tls::Role::kClient;
  config.validation.emplace();
  config.validation->trusted_ca = authority().certificate();
  return config;
}

// An engine that answers only when it is told to, as a device does.
class SlowEngine final : public tls::RecordEngine {
 public:
  [[nodiscard]] std::string_view name() const override { return "slow"; }
  [[nodiscard]] bool supports(tls::Aead aead) const override { return inner_->supports(aead); }
  [[nodiscard]] std::unique_ptr<tls::RecordKey> make_key(tls::Aead aead, tls::Direction direction,
                                                         std::span<const std::uint8_t> key,
                                                         std::size_t additional_bytes) override {
    return inner_->make_key(aead, direction, key, additional_bytes);
  }
  [[nodiscard]] bool submit(tls::RecordJob& job) override {
    if (held_ == kRoom) return false;
    ++held_;
    return inner_->submit(job);
  }
  [[nodiscard]] tls::RecordJob* collect() override {
    if (answers == 0) return nullptr;
    tls::RecordJob* job = inner_->collect();
    if (job != nullptr) {
      --answers;
      --held_;
    }
    return job;
  }
  std::size_t answers = 0;

 private:
  static constexpr std::size_t kRoom = 4;
  std::unique_ptr<tls::RecordEngine> inner_ = tls::make_openssl_engine();
  std::size_t held_ = 0;
};

class SecureStream : public testing::Test {
 protected:
  void start(const tls::ContextConfig& server, const tls::ContextConfig& client,
             std::unique_ptr<tls::RecordEngine> engine = tls::make_ipsec_mb_engine()) {
    auto server_context = tls::Context::make(server);
    auto client_context = tls::Context::make(client);
    ASSERT_TRUE(server_context) << server_context.error().text;
    ASSERT_TRUE(client_context) << client_context.error().text;
    pipe = std::make_unique<test::TlsPipe>(*server_context, *client_context, std::move(engine));
    acceptor.on_stream = [this](stream::ByteStream& stream, Instant) {
      servers.push_back(std::make_unique<RecordingUser>(pipe->chains));
      servers.back()->use(stream);
    };
    tls_acceptor = &pipe->listen(kServer, acceptor);
  }
  std::unique_ptr<RecordingUser> connect() {
    auto user = std::make_unique<RecordingUser>(pipe->chains);
    CloseReason reason{};
    user->stream = pipe->connect(kServer, *user, reason, pipe->now);
    EXPECT_NE(user->stream, nullptr);
    pipe->run();
    return user;
  }
  // A peer that speaks plain bytes on the transport.
  std::unique_ptr<RecordingUser> connect_plain() {
    auto user = std::make_unique<RecordingUser>(pipe->chains);
    CloseReason reason{};
    user->stream = pipe->net.connect(kServer, *user, reason, pipe->now);
    pipe->run();
    return user;
  }
  const TlsCounters& counters() const { return pipe->layer.counters(); }
  static std::size_t number(Alert alert) { return static_cast<std::size_t>(alert); }

  ~SecureStream() override {
    servers.clear();
    pipe.reset();
  }

  std::unique_ptr<test::TlsPipe> pipe;
  test::RecordingAcceptor acceptor;
  test::TlsAcceptor* tls_acceptor = nullptr;
  std::vector<std::unique_ptr<RecordingUser>> servers;
};

TEST_F(SecureStream, BothSidesKnowWhatWasAgreedOn) {
  start(server_config(), client_config());
  auto client = connect();
  ASSERT_EQ(client->connected, 1);
  ASSERT_EQ(servers.size(), 1u);
  ASSERT_NE(client->stream->session_facts(), nullptr);
  EXPECT_EQ(client->stream->session_facts()->version, Version::kTls13);
  ASSERT_TRUE(client->stream->session_facts()->peer);
  EXPECT_TRUE(client->stream->session_facts()->peer_verified);
  EXPECT_FALSE(servers[0]->stream->session_facts()->resumed);
}

TEST_F(SecureStream, NoObjectOfOpensslIsLeftOnceDataHasCome) {
  for (const Version version : {Version::kTls12, Version::kTls13}) {
    start(server_config(version), client_config());
    auto client = connect();
    servers[0]->write("hello", pipe->now);
    pipe->run();
    EXPECT_EQ(client->text(), "hello");
    EXPECT_EQ(pipe->layer.library_objects(), 0);
    EXPECT_EQ(pipe->layer.streams(), 2u);
    servers.clear();
  }
}

TEST_F(SecureStream, SessionsAreResumedInBothVersions) {
  for (const Version version : {Version::kTls12, Version::kTls13}) {
    SessionCache sessions;
    start(server_config(version), client_config());
    pipe->sessions = &sessions;
    auto first = connect();
    first->write("ping", pipe->now);
    pipe->run();
    auto second = connect();
    EXPECT_TRUE(second->stream->session_facts()->resumed);
    EXPECT_TRUE(servers[1]->stream->session_facts()->resumed);
    second->write("again", pipe->now);
    servers[1]->write("and back", pipe->now);
    pipe->run();
    EXPECT_EQ(servers[1]->text(), "again");
    EXPECT_EQ(second->text(), "and back");
    EXPECT_EQ(counters().handshakes_resumed, 2u);
    EXPECT_GE(counters().tickets_stored, 1u);
    first->stream->reset(pipe->now);
    second->stream->reset(pipe->now);
    pipe->run();
    servers.clear();
  }
}

TEST_F(SecureStream, AClientThatHasGoneTakesNoSessionsAnyMore) {
  start(server_config(), client_config());
  {
    SessionCache sessions;
    pipe->sessions = &sessions;
    auto client = connect();
    client->stream->close(pipe->now);
  }
  pipe->run();
  EXPECT_EQ(pipe->layer.streams(), 1u);
}

TEST_F(SecureStream, AServerThatIsNotBelievedIsToldWhy) {
  static const Authority other("other");
  tls::ContextConfig server = server_config();
  server.certificates = {identity(other)};
  start(server, client_config());
  auto client = connect();
  EXPECT_EQ(client->connected, 0);
  EXPECT_EQ(client->closed, CloseReason::kTlsFailure);
  ASSERT_EQ(tls_acceptor->failures.size(), 1u);
  EXPECT_EQ(tls_acceptor->failures[0].alert, Alert::kUnknownCa);
  EXPECT_EQ(counters().alerts_sent[number(Alert::kUnknownCa)], 1u);
  EXPECT_EQ(counters().alerts_received[number(Alert::kUnknownCa)], 1u);
  EXPECT_EQ(pipe->open_ends(), 0u);
  EXPECT_EQ(pipe->layer.library_objects(), 0);
}

TEST_F(SecureStream, AClientThatShowsNoCertificateIsToldWhy) {
  tls::ContextConfig server = server_config();
  server.require_client_certificate = true;
  server.validation.emplace();
  server.validation->trusted_ca = authority().certificate();
  start(server, client_config());
  auto client = connect();
  // In TLS 1.3 the client's side is done before the server has looked at it.
  EXPECT_EQ(client->connected, 1);
  EXPECT_EQ(client->closed, CloseReason::kTlsFailure);
  ASSERT_EQ(tls_acceptor->failures.size(), 1u);
  EXPECT_EQ(tls_acceptor->failures[0].reason, tls::HandshakeFailure::Reason::kNoCertificate);
  EXPECT_EQ(pipe->open_ends(), 0u);
}

TEST_F(SecureStream, WhatIsNotTlsIsRefusedWithAnAlert) {
  start(server_config(), client_config());
  auto client = connect_plain();
  client->write("GET / HTTP/1.1\r\n\r\n", pipe->now);
  pipe->run();
  EXPECT_TRUE(client->stream->read_ended());
  ASSERT_EQ(tls_acceptor->ends.size(), 1u);
  EXPECT_EQ(tls_acceptor->ends[0], CloseReason::kTlsFailure);
  EXPECT_EQ(counters().handshakes_failed, 1u);
  EXPECT_EQ(pipe->layer.streams(), 0u);
}

TEST_F(SecureStream, AClientThatLeavesInItsHandshakeIsForgotten) {
  start(server_config(), client_config());
  for (const bool orderly : {true, false}) {
    auto client = connect_plain();
    client->write("\x16\x03\x01", pipe->now);
    pipe->run();
    orderly ? client->stream->close(pipe->now) : client->stream->reset(pipe->now);
    pipe->run();
    EXPECT_EQ(pipe->layer.streams(), 0u) << orderly;
    EXPECT_EQ(pipe->layer.library_objects(), 0);
  }
}

TEST_F(SecureStream, AnEndWithoutCloseNotifyIsTold) {
  start(server_config(), client_config());
  auto client = connect();
  client->write("part of a", pipe->now);
  pipe->run();
  pipe->net.shut_all();
  pipe->run();
  EXPECT_EQ(servers[0]->text(), "part of a");
  EXPECT_EQ(servers[0]->closed, CloseReason::kTruncated);
  EXPECT_GE(counters().truncated, 1u);
}

TEST_F(SecureStream, ADamagedRecordEndsTheSession) {
  start(server_config(), client_config());
  auto client = connect();
  pipe->net.damage_next();
  client->write("this will not arrive", pipe->now);
  pipe->run();
  EXPECT_EQ(servers[0]->text(), "");
  EXPECT_EQ(servers[0]->closed, CloseReason::kTlsFailure);
  EXPECT_EQ(client->closed, CloseReason::kTlsFailure) << "by the alert";
  EXPECT_EQ(counters().bad_record, 1u);
  EXPECT_EQ(counters().alerts_received[number(Alert::kBadRecordMac)], 1u);
  EXPECT_EQ(pipe->open_ends(), 0u);
}

TEST_F(SecureStream, SmallRecordsFirstThenLargeOnesAndSmallAgainAfterAPause) {
  RecordSizer sizer;
  const Instant start = Instant::from_nanoseconds(5'000'000'000);
  EXPECT_EQ(sizer.most_text(start), RecordSizer::kSmallText);
  sizer.sent(RecordSizer::kSmallUntil, start);
  EXPECT_EQ(sizer.most_text(start + Duration::milliseconds(999)), tls::kMostPlaintextBytes);
  EXPECT_EQ(sizer.most_text(start + Duration::seconds(1)), RecordSizer::kSmallText);
}

TEST_F(SecureStream, AnEngineThatAnswersLaterKeepsTheOrder) {
  auto made = std::make_unique<SlowEngine>();
  SlowEngine& engine = *made;
  start(server_config(), client_config(), std::move(made));
  engine.answers = 1'000'000;
  auto client = connect();
  engine.answers = 0;
  std::string all;
  for (int i = 0; i < 40; ++i) {
    const std::string part(1'000 + static_cast<std::size_t>(i), static_cast<char>('a' + i % 26));
    all += part;
    EXPECT_EQ(client->write(part, pipe->now), part.size());
    pipe->layer.service(pipe->now);
  }
  EXPECT_TRUE(pipe->layer.has_work());
  for (int i = 0; i < 500 && servers[0]->received.size() < all.size(); ++i) {
    engine.answers = 1;
    pipe->layer.service(pipe->now);
    pipe->net.run(pipe->now);
  }
  EXPECT_TRUE(servers[0]->text() == all);
  engine.answers = 1'000'000;
}

TEST_F(SecureStream, AStreamMayGoWhileTheEngineHasItsRecords) {
  auto made = std::make_unique<SlowEngine>();
  SlowEngine& engine = *made;
  start(server_config(), client_config(), std::move(made));
  engine.answers = 1'000'000;
  auto client = connect();
  engine.answers = 0;
  client->write("on its way", pipe->now);
  pipe->layer.service(pipe->now);
  client->stream->reset(pipe->now);
  pipe->layer.service(pipe->now);
  EXPECT_EQ(pipe->layer.streams(), 2u) << "its record is out of our hands";
  engine.answers = 1'000'000;
  pipe->run();
  EXPECT_EQ(pipe->layer.streams(), 0u);
}

TEST_F(SecureStream, HandshakesAreRunAFewAtATime) {
  start(server_config(), client_config());
  std::vector<std::unique_ptr<RecordingUser>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<RecordingUser>(pipe->chains));
    CloseReason reason{};
    clients.back()->stream = pipe->connect(kServer, *clients.back(), reason, pipe->now);
  }
  pipe->layer.service(pipe->now);
  const std::uint64_t steps = counters().handshake_steps;
  EXPECT_EQ(steps, 0u) << "nobody is connected yet";
  pipe->net.run(pipe->now);
  pipe->layer.service(pipe->now);
  EXPECT_TRUE(pipe->layer.has_work());
  EXPECT_GE(pipe->runner.waiting(), 19u);
  pipe->run();
  for (const auto& client : clients) EXPECT_EQ(client->connected, 1);
}

// Or all who come at once would have an object of OpenSSL's before the first one is served.
TEST_F(SecureStream, HandshakesThatHaveBegunGoBeforeNewOnes) {
  constexpr int kClients = 300;
  start(server_config(), client_config());
  std::vector<std::unique_ptr<RecordingUser>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<RecordingUser>(pipe->chains));
    CloseReason reason{};
    clients.back()->stream = pipe->connect(kServer, *clients.back(), reason, pipe->now);
  }
  const auto connected = [&] { return std::ranges::count_if(clients, [](const auto& client) { return client->connected > 0; }); };
  for (int i = 0; i < 100'000 && connected() == 0; ++i) {
    pipe->layer.service(pipe->now);
    pipe->net.run(pipe->now);
  }
  EXPECT_LT(counters().handshake_steps, 2 * kClients) << "the first is served before both sides of all have had their first step";
  pipe->run();
  EXPECT_EQ(connected(), kClients);
}

// ---- peers that do what they should not ---------------------------------------------------------------------------------------

// A peer in the hands of a test: shakes hands over the plain transport and makes its records itself.
struct RawPeer {
  RawPeer(test::TlsPipe& of, std::unique_ptr<tls::Handshake> made)
      : pipe(of), user(of.chains), hs(std::move(made)), in(of.chains) {}
  ~RawPeer() {
    if (user.stream != nullptr) user.stream->reset(pipe.now);
    pipe.run();
  }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  void pump() {
    for (int i = 0; i < 8; ++i) {
      pipe.run();
      if (status != tls::Handshake::Status::kNeedMore) break;
      const std::string got = user.text();
      user.received.clear();
      if (got.empty() && begun) continue;
      begun = true;
      status = hs->run({reinterpret_cast<const std::uint8_t*>(got.data()), got.size()});
      const auto out = hs->take_output();
      user.write({reinterpret_cast<const char*>(out.data()), out.size()}, pipe.now);
    }
    pipe.run();
    ASSERT_EQ(status, tls::Handshake::Status::kDone);
    e = hs->take_established();
    sealer.emplace(*engine, *e.suite, e.send, e.send_sequence, e.explicit_nonce);
    opener.emplace(*engine, *e.suite, e.receive, e.receive_sequence);
  }
  std::string seal(tls::ContentType type, std::string_view text) {
    alignas(16) static char fake[4096];
    PendingRecord record(reinterpret_cast<TlsStream&>(fake), pipe.chains);
    stream::Chain plain(pipe.chains);
    EXPECT_TRUE(plain.append_copy(text));
    EXPECT_TRUE(prepare_seal(*sealer, type, plain, text.size(), record));
    EXPECT_TRUE(engine->submit(record));
    EXPECT_EQ(engine->collect(), &record);
    std::memcpy(record.tag_in_record, record.tag.data(), record.tag.size());
    std::string out;
    record.bytes.for_each(
        [&](std::span<const std::uint8_t> part) { out.append(reinterpret_cast<const char*>(part.data()), part.size()); });
    return out;
  }
  // What the next record that came holds; "BAD" when it does not open.
  std::string open() {
    in.append(std::move(user.received));
    alignas(16) static char fake[4096];
    PendingRecord record(reinterpret_cast<TlsStream&>(fake), pipe.chains);
    const auto taken = prepare_open(*opener, in, record);
    if (!taken || *taken != Taken::kRecord) return "NONE";
    EXPECT_TRUE(engine->submit(record));
    EXPECT_EQ(engine->collect(), &record);
    if (!record.good) return "BAD";
    const auto content = opener->content_of(record.header, record.text);
    std::string out(content->size, 0);
    record.bytes.copy_out(0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
    return std::to_string(static_cast<int>(content->type)) + ":" + out;
  }
  test::TlsPipe& pipe;
  RecordingUser user;
  std::unique_ptr<tls::Handshake> hs;
  std::unique_ptr<tls::RecordEngine> engine = tls::make_openssl_engine();
  tls::Handshake::Status status = tls::Handshake::Status::kNeedMore;
  bool begun = false;
  tls::Established e;
  std::optional<tls::RecordSealer> sealer;
  std::optional<tls::RecordOpener> opener;
  stream::Chain in;
};
TEST_F(SecureStream, AnEmptyHandshakeRecordEndsTheSession) {
  start(server_config(), client_config());
  SessionCache cache;
  pipe->sessions = &cache;
  auto config = server_config();
  config.tickets = false;
  auto context = tls::Context::make(config);
  RawPeer raw(*pipe, tls::Handshake::make(*context));
  raw.begun = true;
  test::RecordingAcceptor plain;
  plain.on_stream = [&](stream::ByteStream& s, Instant) { raw.user.use(s); };
  const SocketAddress at{IpAddress::v4(192, 0, 2, 81), 443};
  pipe->net.listen(at, plain);
  auto user = std::make_unique<RecordingUser>(pipe->chains);
  CloseReason reason{};
  user->stream = pipe->connect(at, *user, reason, pipe->now);
  raw.pump();
  ASSERT_EQ(user->connected, 1);
  raw.user.write(raw.seal(tls::ContentType::kHandshake, ""), pipe->now);
  pipe->run();
  EXPECT_EQ(user->closed, CloseReason::kTlsFailure);
}

TEST_F(SecureStream, CreditIsToldOfWhenTheTransportsBufferHasShrunk) {
  start(server_config(), client_config());
  pipe->net.set_buffer_bytes(1024 * 1024);
  auto client = connect();
  pipe->net.set_send_buffers(64 * 1024);
  const std::string big(200'000, 'x');
  const std::size_t went = client->write(big, pipe->now);
  for (int i = 0; i < 50; ++i) pipe->run();
  EXPECT_GT(went, 0u);
  EXPECT_GT(client->writable, 0);
}

TEST_F(SecureStream, TinyRecordsDoNotPinABufferEach) {
  start(server_config(Version::kTls12), client_config());
  auto client = connect();
  servers[0]->reads = false;
  for (int i = 0; i < 3; ++i) pipe->run();
  const std::size_t before = pipe->packets.in_use();
  for (int i = 0; i < 20'000; ++i) {
    client->write("x", pipe->now);
    for (int j = 0; j < 2; ++j) {
      pipe->layer.service(pipe->now);
      pipe->net.run(pipe->now);
    }
    pipe->layer.service(pipe->now);
  }
  EXPECT_LT(pipe->packets.in_use() - before, 1000u);
}

TEST_F(SecureStream, ARecordMayComeInVerySmallSegments) {
  start(server_config(), client_config());
  auto client = connect();
  pipe->net.set_receive_buffers(16);
  client->write(std::string(1400, 'x'), pipe->now);
  for (int i = 0; i < 300; ++i) pipe->run();
  EXPECT_EQ(servers[0]->received.size(), 1400u);
}

TEST_F(SecureStream, HandshakesOfThoseWhoHaveGoneDoNotPileUp) {
  struct Holding final : HandshakeRunner {
    std::vector<std::unique_ptr<HandshakeStep>> held;
    void start(std::unique_ptr<HandshakeStep> step) override { held.push_back(std::move(step)); }
    std::unique_ptr<HandshakeStep> finished() override { return nullptr; }
    bool runs_here() const override { return false; }
  } runner;
  auto server_context = tls::Context::make(server_config());
  auto client_context = tls::Context::make(client_config());
  pipe = std::make_unique<test::TlsPipe>(*server_context, *client_context, tls::make_ipsec_mb_engine(), &runner);
  pipe->listen(kServer, acceptor);
  auto hs = tls::Handshake::make(*client_context);
  (void)hs->run({});
  const auto hello = hs->take_output();
  for (int i = 0; i < 300; ++i) {
    auto user = connect_plain();
    user->write({reinterpret_cast<const char*>(hello.data()), hello.size()}, pipe->now);
    pipe->run();
    user->stream->reset(pipe->now);
    pipe->run();
  }
  EXPECT_LT(runner.held.size(), 100u);
  pipe.reset();
}

TEST_F(SecureStream, KeyUpdatesWithoutDataHaveAnEnd) {
  start(server_config(), client_config());
  auto context = tls::Context::make(client_config());
  RawPeer raw(*pipe, tls::Handshake::make(*context));
  CloseReason reason{};
  raw.user.stream = pipe->net.connect(kServer, raw.user, reason, pipe->now);
  raw.pump();
  const std::string message("\x18\0\0\1\0", 5);
  std::string all;
  tls::Secret secret = raw.e.send_secret;
  for (int i = 0; i < 2000; ++i) {
    all += raw.seal(tls::ContentType::kHandshake, message);
    secret = tls::next_traffic_secret(*raw.e.suite, secret.bytes());
    ASSERT_TRUE(raw.sealer->change_keys(*raw.engine, tls::traffic_keys(*raw.e.suite, secret.bytes())));
  }
  ASSERT_EQ(raw.user.write(all, pipe->now), all.size());
  pipe->run();
  EXPECT_LT(counters().key_updates_received, 100u);
}

TEST_F(SecureStream, AnAnswerThatComesWithAResetIsRead) {
  start(server_config(), client_config());
  auto client = connect();
  servers[0]->write("413", pipe->now);
  pipe->layer.service(pipe->now);
  pipe->net.run(pipe->now);  // the transport tells: readable
  servers[0]->stream->reset(pipe->now);
  servers[0]->stream = nullptr;
  pipe->net.run(pipe->now);  // and then: reset
  pipe->run();
  EXPECT_EQ(client->text(), "413");
}

TEST_F(SecureStream, AStreamMayBeClosedWhileItsKeyUpdateIsWithTheEngine) {
  auto made = std::make_unique<SlowEngine>();
  SlowEngine& engine = *made;
  engine.answers = 1'000'000;
  start(server_config(), client_config(), std::move(made));
  auto context = tls::Context::make(client_config());
  RawPeer raw(*pipe, tls::Handshake::make(*context));
  CloseReason reason{};
  raw.user.stream = pipe->net.connect(kServer, raw.user, reason, pipe->now);
  raw.pump();
  while (true) {
    const std::string got = raw.open();
    if (got == "NONE" || got == "BAD") break;  // tickets
  }
  raw.user.write(raw.seal(tls::ContentType::kHandshake, std::string("\x18\0\0\1\1", 5)), pipe->now);
  pipe->net.run(pipe->now);
  engine.answers = 1;
  pipe->layer.service(pipe->now);
  servers[0]->write("tail", pipe->now);
  servers[0]->stream->close(pipe->now);
  engine.answers = 1'000'000;
  pipe->run();
  const std::string first = raw.open();
  EXPECT_EQ(first, "22:" + std::string("\x18\0\0\1\0", 5));
  ASSERT_TRUE(raw.opener->change_keys(
      *raw.engine,
      tls::traffic_keys(*raw.e.suite, tls::next_traffic_secret(*raw.e.suite, raw.e.receive_secret.bytes()).bytes())));
  EXPECT_EQ(raw.open(), "23:tail");
}

TEST_F(SecureStream, NobodyIsToldOfCreditThatThereIsNot) {
  start(server_config(), client_config());
  pipe->net.set_buffer_bytes(64);
  auto client = std::make_unique<RecordingUser>(pipe->chains);
  int without = 0;
  client->when_connected = [&](Instant now) { client->write("x", now); };
  client->when_writable = [&](Instant now) {
    if (client->credit_when_writable == 0) ++without;
    if (without < 1000) client->write("x", now);
  };
  CloseReason reason{};
  client->stream = pipe->connect(kServer, *client, reason, pipe->now);
  for (int i = 0; i < 100 && client->connected == 0; ++i) pipe->run();
  pipe->run();
  EXPECT_EQ(without, 0);
}

TEST_F(SecureStream, WhatComesBehindTheEndIsNotKept) {
  auto config = server_config();
  config.keep_records_in_openssl = true;
  start(config, client_config());
  auto context = tls::Context::make(client_config());
  RawPeer raw(*pipe, tls::Handshake::make(*context));
  CloseReason reason{};
  raw.user.stream = pipe->net.connect(kServer, raw.user, reason, pipe->now);
  raw.pump();
  raw.user.reads = true;
  raw.user.write(raw.seal(tls::ContentType::kAlert, std::string("\1\0", 2)), pipe->now);
  pipe->run();
  ASSERT_TRUE(servers[0]->stream->read_ended());
  const auto before = mallinfo2();
  const std::string junk(32 * 1024, 'j');
  std::size_t sent = 0;
  for (int i = 0; i < 1000; ++i) {
    sent += raw.user.write(junk, pipe->now);
    pipe->run(Duration::milliseconds(1));
  }
  EXPECT_GT(sent, 10'000'000u);
  const auto after = mallinfo2();
  EXPECT_LT(after.uordblks + after.hblkhd, before.uordblks + before.hblkhd + 4'000'000);
}

TEST_F(SecureStream, WhoHasNotSaidAllOfHelloCostsNoObjectOfOpensslS) {
  start(server_config(), client_config());
  auto context = tls::Context::make(client_config());
  const auto handshake = tls::Handshake::make(*context);
  ASSERT_EQ(handshake->run({}), tls::Handshake::Status::kNeedMore);
  const auto output = handshake->take_output();
  const std::string hello(output.begin(), output.end());
  auto user = connect_plain();
  for (const char byte : hello.substr(0, hello.size() - 1)) {
    user->write(std::string(1, byte), pipe->now);
    pipe->run(Duration::milliseconds(1));
  }
  EXPECT_EQ(counters().handshake_steps, 0u);
  EXPECT_EQ(pipe->layer.library_objects(), 0);
  user->write(hello.substr(hello.size() - 1), pipe->now);
  pipe->run(Duration::milliseconds(1));
  EXPECT_EQ(counters().handshake_steps, 1u);
  EXPECT_GT(user->received.size(), 100u) << "the answer";
  user->stream->reset(pipe->now);
  pipe->run();
}

// RFC 8446 6.1: nothing may follow it; and what cannot go out must not keep the stream.
TEST_F(SecureStream, BehindCloseNotifyNothingIsSent) {
  for (const bool forged : {false, true}) {
    SCOPED_TRACE(forged);
    start(server_config(), client_config());
    auto context = tls::Context::make(client_config());
    RawPeer raw(*pipe, tls::Handshake::make(*context));
    CloseReason reason{};
    raw.user.stream = pipe->net.connect(kServer, raw.user, reason, pipe->now);
    raw.pump();
    servers.back()->stream->shutdown_write(pipe->now);
    pipe->run(Duration::milliseconds(1));
    const std::string late = forged ? std::string("\x17\3\3\0\x20", 5) + std::string(32, 'j')
                                    : raw.seal(tls::ContentType::kHandshake, std::string("\x18\0\0\1\1", 5));
    raw.user.write(late, pipe->now);
    pipe->run(Duration::milliseconds(1));
    if (servers.back()->stream != nullptr) servers.back()->stream->close(pipe->now);
    servers.back()->stream = nullptr;
    pipe->run(Duration::milliseconds(1));
    EXPECT_EQ(pipe->layer.streams(), 0u);
  }
}

TEST_F(SecureStream, WhoClosesThrowsAwayWhatStillComes) {
  start(server_config(), client_config());
  pipe->net.set_buffer_bytes(200 * 1024);
  auto context = tls::Context::make(client_config());
  RawPeer raw(*pipe, tls::Handshake::make(*context));
  CloseReason reason{};
  raw.user.stream = pipe->net.connect(kServer, raw.user, reason, pipe->now);
  raw.pump();
  raw.user.reads = false;
  servers[0]->reads = false;
  const std::string text(16'000, 'x');
  std::string queue;
  const auto push = [&] {
    if (queue.empty()) queue = raw.seal(tls::ContentType::kApplicationData, text);
    const std::size_t sent = raw.user.write(queue, pipe->now);
    queue.erase(0, sent);
    pipe->run(Duration::milliseconds(1));
    return sent;
  };
  for (int i = 0; i < 200; ++i) push();
  for (int i = 0; i < 100; ++i) {
    servers[0]->write(text, pipe->now);  // its close cannot go out yet
    pipe->run(Duration::milliseconds(1));
  }
  servers[0]->stream->close(pipe->now);
  servers[0]->stream = nullptr;
  std::size_t sent = 0;
  for (int i = 0; i < 200; ++i) sent += push();
  EXPECT_GT(sent, 1'000'000u) << "the client can send all before it reads";
}
}  // namespace
}  // namespace millrace::secure
