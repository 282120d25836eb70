// A client and a server that shake hands over memory, and what can be done with them afterwards.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/test_certificates.h"
#include "tests/unit/tls/record_io.h"
#include "tls/context.h"
#include "tls/handshake.h"

namespace millrace::tls::test {

using millrace::test::Authority;
using millrace::test::CertificateSpec;
using millrace::test::Issued;
using millrace::test::KeyKind;
using ContextPointer = std::shared_ptr<const Context>;
using Status = Handshake::Status;

inline const Authority& authority() {
  static const Authority made("Test Authority");
  return made;
}
inline const Authority& stranger() {
  static const Authority made("Another Authority");
  return made;
}
/// Of localhost, with ECDSA and with RSA.
inline const Issued& ecdsa_leaf() {
  static const Issued made = authority().issue({.common_name = "ecdsa", .names = {"DNS:localhost", "DNS:*.example.com"}});
  return made;
}
inline const Issued& rsa_leaf() {
  static const Issued made = authority().issue({.common_name = "rsa", .names = {"DNS:localhost"}, .key = KeyKind::kRsa2048});
  return made;
}
inline const Issued& client_leaf() {
  static const Issued made =
      authority().issue({.common_name = "client", .names = {"URI:spiffe://cluster.local/ns/a/sa/b", "DNS:client.example"}});
  return made;
}

inline CertificateConfig shown(const Issued& issued) {
  return {.chain = issued.certificate, .key = issued.key, .password = {}, .ocsp_response = {}};
}
inline ValidationConfig trusting(const Authority& whom) {
  ValidationConfig validation;
  validation.trusted_ca = whom.certificate();
  return validation;
}
inline ContextConfig server_config(const Issued& leaf = ecdsa_leaf()) {
  ContextConfig config;
  config.certificates = {shown(leaf)};
  return config;
}
inline ContextConfig client_config() {
  ContextConfig config;
  config.role = Role::kClient;
  config.validation = trusting(authority());
  config.server_name = "localhost";
  return config;
}
/// One that asks for a client's certificate.
inline ContextConfig mutual_config() {
  ContextConfig config = server_config();
  config.validation = trusting(authority());
  config.require_client_certificate = true;
  return config;
}
inline ContextConfig client_with(const Issued& leaf) {
  ContextConfig config = client_config();
  config.certificates = {shown(leaf)};
  return config;
}
inline ContextConfig only(Version version, ContextConfig config) {
  config.least_version = config.most_version = version;
  return config;
}

inline ContextPointer make(const ContextConfig& config) {
  auto made = Context::make(config);
  EXPECT_TRUE(made) << made.error().text;
  return made ? *made : nullptr;
}

struct Pair {
  std::unique_ptr<Handshake> client;
  std::unique_ptr<Handshake> server;
  Status client_status = Status::kNeedMore;
  Status server_status = Status::kNeedMore;
  Bytes to_client = {};  // on the way
  Bytes to_server = {};

  Pair(const ContextPointer& client_context, const ContextPointer& server_context, const HandshakeOptions& options = {})
      : client(Handshake::make(client_context, options)), server(Handshake::make(server_context)) {
    client_status = client->run({});
    collect(*client, to_server);
  }

  /// Until nobody has anything to say; `step` bytes at a time.
  Pair& shake(std::size_t step = SIZE_MAX) {
    while (deliver(*server, server_status, to_server, to_client, step) ||
           deliver(*client, client_status, to_client, to_server, step)) {
    }
    return *this;
  }
  /// Until one side is done, the other of which has not heard of it yet.
  Pair& shake_halfway() {
    while (client_status == Status::kNeedMore && server_status == Status::kNeedMore) {
      if (!deliver(*server, server_status, to_server, to_client, SIZE_MAX))
        deliver(*client, client_status, to_client, to_server, SIZE_MAX);
    }
    return *this;
  }
  [[nodiscard]] bool done() const { return client_status == Status::kDone && server_status == Status::kDone; }

 private:
  static void collect(Handshake& from, Bytes& to) {
    const Bytes output = from.take_output();
    to.insert(to.end(), output.begin(), output.end());
  }
  // What comes for one that has ended stays on the way.
  static bool deliver(Handshake& receiver, Status& status, Bytes& bytes, Bytes& answers, std::size_t step) {
    bool delivered = false;
    while (status == Status::kNeedMore && !bytes.empty()) {
      const auto size = static_cast<std::ptrdiff_t>(std::min(step, bytes.size()));
      const Bytes part(bytes.begin(), bytes.begin() + size);
      bytes.erase(bytes.begin(), bytes.begin() + size);
      status = receiver.run(part);
      collect(receiver, answers);
      delivered = true;
    }
    return delivered;
  }
};

/// The next whole record of `bytes`, taken out; empty: there is none.
inline Bytes take_record(Bytes& bytes) {
  if (bytes.size() < kRecordHeaderBytes) return {};
  const std::size_t size = kRecordHeaderBytes + (static_cast<std::size_t>(bytes[3]) << 8 | bytes[4]);
  if (bytes.size() < size) return {};
  const auto end = bytes.begin() + static_cast<std::ptrdiff_t>(size);
  Bytes record(bytes.begin(), end);
  bytes.erase(bytes.begin(), end);
  return record;
}

/// One end of an established session.
struct End {
  Established established;
  RecordEngine& engine;
  RecordSealer sealer;
  RecordOpener opener;

  End(RecordEngine& with, Established what)
      : established(std::move(what)),
        engine(with),
        sealer(engine, *established.suite, established.send, established.send_sequence, established.explicit_nonce),
        opener(engine, *established.suite, established.receive, established.receive_sequence) {}
  Bytes send(const std::string& text) {
    return seal(engine, sealer, ContentType::kApplicationData, Bytes(text.begin(), text.end()));
  }
  Opened receive(const Bytes& record) { return open(engine, opener, record); }
};

inline std::string text_of(const Opened& opened) {
  EXPECT_EQ(opened.alert, std::nullopt);
  EXPECT_EQ(opened.type, ContentType::kApplicationData);
  return {opened.text.begin(), opened.text.end()};
}

/// The tickets that a finished pair's client still has to read.
inline std::vector<std::shared_ptr<ClientSession>> sessions_of(Pair& pair) {
  Established established = pair.client->take_established();
  Bytes rest = established.unread;
  rest.insert(rest.end(), pair.to_client.begin(), pair.to_client.end());
  while (true) {
    const Bytes record = take_record(rest);
    if (record.empty()) return pair.client->take_sessions();
    pair.client->feed_ticket(record);
  }
}

}  // namespace millrace::tls::test
