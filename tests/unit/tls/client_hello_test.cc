// What OpenSSL's clients say first, under every cut; and what nobody should say.
#include "tls/client_hello.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/tls/hex.h"

namespace millrace::tls {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Bytes = std::vector<std::uint8_t>;
using Status = ClientHelloInspector::Status;

// The first flight of an OpenSSL client.
Bytes openssl_hello(const char* name, std::string_view alpn, int most_version) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(context, most_version);
  SSL* client = SSL_new(context);
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(client, BIO_new(BIO_s_mem()), out);
  if (name != nullptr) SSL_set_tlsext_host_name(client, name);
  if (!alpn.empty()) {
    SSL_set_alpn_protos(client, reinterpret_cast<const unsigned char*>(alpn.data()), static_cast<unsigned>(alpn.size()));
  }
  SSL_set_connect_state(client);
  (void)SSL_do_handshake(client);
  Bytes bytes(BIO_ctrl_pending(out));
  BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
  SSL_free(client);
  SSL_CTX_free(context);
  return bytes;
}

// The same message in records of `size` bytes.
Bytes in_records(const Bytes& one_record, std::size_t size) {
  Bytes out;
  for (std::size_t at = 5; at < one_record.size(); at += size) {
    const std::size_t part = std::min(size, one_record.size() - at);
    out.insert(out.end(), {22, 3, 1, static_cast<std::uint8_t>(part >> 8), static_cast<std::uint8_t>(part)});
    out.insert(out.end(), one_record.begin() + static_cast<std::ptrdiff_t>(at),
               one_record.begin() + static_cast<std::ptrdiff_t>(at + part));
  }
  return out;
}

ClientHelloInspector inspect(const Bytes& bytes, std::size_t step = SIZE_MAX) {
  ClientHelloInspector inspector;
  for (std::size_t at = 0; at < bytes.size(); at += std::min(step, bytes.size())) {
    inspector.feed(std::span(bytes).subspan(at, std::min(step, bytes.size() - at)));
  }
  return inspector;
}

TEST(TlsClientHello, NameProtocolsAndVersionOfARealClient) {
  const auto inspector = inspect(openssl_hello("Api.Example.COM", "\x02h2\x08http/1.1", TLS1_3_VERSION));
  ASSERT_EQ(inspector.status(), Status::kDone);
  EXPECT_EQ(inspector.hello().server_name, "api.example.com");
  EXPECT_THAT(inspector.hello().protocols, ElementsAre("h2", "http/1.1"));
  EXPECT_EQ(inspector.hello().version, 0x0304);
}

TEST(TlsClientHello, AnOlderClientWithoutNameAndProtocols) {
  const auto inspector = inspect(openssl_hello(nullptr, "", TLS1_2_VERSION));
  ASSERT_EQ(inspector.status(), Status::kDone);
  EXPECT_THAT(inspector.hello().server_name, IsEmpty());
  EXPECT_THAT(inspector.hello().protocols, IsEmpty());
  EXPECT_EQ(inspector.hello().version, 0x0303);
}

TEST(TlsClientHello, HoweverItIsCutIntoSegmentsAndRecords) {
  const Bytes hello = openssl_hello("a.b", "\x02h2", TLS1_3_VERSION);
  for (const std::size_t record : std::initializer_list<std::size_t>{1, 2, 3, 4, 5, 50, 10'000}) {
    for (const std::size_t segment : std::initializer_list<std::size_t>{1, 2, 3, 7, 100, 100'000}) {
      const auto inspector = inspect(in_records(hello, record), segment);
      ASSERT_EQ(inspector.status(), Status::kDone) << record << ", " << segment;
      EXPECT_EQ(inspector.hello().server_name, "a.b");
    }
  }
}

TEST(TlsClientHello, WhatComesBehindItIsNotLookedAt) {
  Bytes bytes = openssl_hello("a", "", TLS1_3_VERSION);
  bytes.insert(bytes.end(), {1, 2, 3});
  EXPECT_EQ(inspect(bytes).status(), Status::kDone);
}

TEST(TlsClientHello, IncompleteUntilTheLastByte) {
  const Bytes hello = openssl_hello("a", "", TLS1_3_VERSION);
  ClientHelloInspector inspector;
  for (std::size_t i = 0; i + 1 < hello.size(); ++i) ASSERT_EQ(inspector.feed({&hello[i], 1}), Status::kNeedMore) << i;
  EXPECT_EQ(inspector.feed({&hello.back(), 1}), Status::kDone);
}

TEST(TlsClientHello, OtherProtocolsAreToldByTheirFirstBytes) {
  for (const std::string_view text : {"GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "SSH-2.0-x\r\n", "\x80\x2e\x01"}) {
    EXPECT_EQ(inspect(Bytes(text.begin(), text.begin() + 1)).status(), Status::kNotTls) << text;
  }
  EXPECT_EQ(inspect({22, 2}).status(), Status::kNotTls) << "version";
  EXPECT_EQ(inspect({22, 3, 1, 0, 0}).status(), Status::kNotTls) << "an empty record";
  EXPECT_EQ(inspect({22, 3, 1, 0x40, 1}).status(), Status::kNotTls) << "too long a record";
  EXPECT_EQ(inspect({22, 3, 1, 0, 4, 2}).status(), Status::kNotTls) << "another message";
  EXPECT_EQ(inspect({22, 3, 1, 0, 1, 1, 23}).status(), Status::kMalformed) << "application data inside the message";
}

TEST(TlsClientHello, NoLongerThanAllowed) {
  ClientHelloInspector small(100);
  const Bytes hello = openssl_hello("a", "", TLS1_3_VERSION);
  EXPECT_EQ(small.feed(hello), Status::kTooLong);
  EXPECT_EQ(small.feed(hello), Status::kTooLong) << "for good";
}

// A message of its own making: suites, one compression method, and `extensions` as they stand.
Bytes hello_with(const std::string& extensions_hex) {
  const Bytes extensions = test::unhex(extensions_hex);
  Bytes body = {3, 3};
  body.resize(34, 7);
  for (const int byte : {0, 0, 2, 0x13, 1, 1, 0}) body.push_back(static_cast<std::uint8_t>(byte));
  body.push_back(static_cast<std::uint8_t>(extensions.size() >> 8));
  body.push_back(static_cast<std::uint8_t>(extensions.size()));
  body.insert(body.end(), extensions.begin(), extensions.end());
  const std::size_t message = body.size() + 4;
  Bytes bytes = {22,
                 3,
                 1,
                 static_cast<std::uint8_t>(message >> 8),
                 static_cast<std::uint8_t>(message),
                 1,
                 0,
                 static_cast<std::uint8_t>(body.size() >> 8),
                 static_cast<std::uint8_t>(body.size())};
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

TEST(TlsClientHello, WellFormedByHand) {
  EXPECT_EQ(inspect(hello_with("")).status(), Status::kDone);
  const auto named = inspect(hello_with("0000 0006 0004 00 0001 61"));
  EXPECT_EQ(named.status(), Status::kDone);
  EXPECT_EQ(named.hello().server_name, "a");
  const auto versions = inspect(hello_with("002b 0007 06 7a7a 0304 0303"));
  EXPECT_EQ(versions.hello().version, 0x0304) << "0x7a7a only probes for intolerance";
}

TEST(TlsClientHello, MalformedByHand) {
  for (const char* extensions : {
           "0000",                                  // half an extension
           "0000 0006 0004 00 0001",                // longer than the message
           "0000 0000",                             // no list of names
           "0000 0005 0003 00 0000",                // an empty name
           "0000 0006 0004 00 0001 00",             // a name with NUL
           "0000 0006 0004 00 0001 c3",             // and with what is not ASCII
           "0000 000a 0008 00 0001 61 00 0001 62",  // two names
           "0000 0007 0004 00 0001 61 00",          // a byte behind the list
           "0010 0002 0000",                        // no protocols
           "0010 0003 0001 00",                     // an empty protocol
           "002b 0002 01 03",                       // half a version
           "0017 0000 0017 0000",                   // twice the same
       }) {
    EXPECT_EQ(inspect(hello_with(extensions)).status(), Status::kMalformed) << extensions;
  }
}

}  // namespace
}  // namespace millrace::tls
