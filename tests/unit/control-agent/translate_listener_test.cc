#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(TranslateListener, TakesNameAddressesAndEnvoysDefaults) {
  const auto snapshot = snapshot_of({});
  ASSERT_NE(snapshot, nullptr);
  const auto& listener = *snapshot->listeners.at(0);
  EXPECT_EQ(listener.name, "http");
  EXPECT_THAT(listener.addresses, ElementsAre(*SocketAddress::parse("198.18.0.2:80")));
  EXPECT_EQ(listener.buffer_limit_bytes, 1024U * 1024);
  EXPECT_EQ(listener.cell->name, "198.18.0.2_80");
  EXPECT_EQ(listener.cell->per_worker.size(), 2U);
}

TEST(TranslateListener, TakesAdditionalAddressesPrefixAndBufferLimit) {
  BootstrapText text;
  text.listener =
      ", stat_prefix: front, per_connection_buffer_limit_bytes: 32768, additional_addresses: [{address: {socket_address: "
      "{address: \"2001:db8::2\", port_value: 80}}}]";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& listener = *snapshot->listeners.at(0);
  EXPECT_EQ(listener.addresses.at(1).to_string(), "[2001:db8::2]:80");
  EXPECT_EQ(listener.buffer_limit_bytes, 32768U);
  EXPECT_EQ(listener.cell->name, "front");
}

TEST(TranslateListener, HashesItsContentAndThatOfItsChainsApart) {
  const auto listener_of = [](const BootstrapText& text) { return *snapshot_of(text)->listeners.at(0); };
  const auto as_it_is = listener_of({});
  BootstrapText text;
  text.manager = ", via: x";
  const auto chain_changed = listener_of(text);
  EXPECT_EQ(chain_changed.content_hash, as_it_is.content_hash);
  EXPECT_NE(chain_changed.chains.at(0).content_hash, as_it_is.chains.at(0).content_hash);
  text = {};
  text.listener = ", per_connection_buffer_limit_bytes: 32768";
  const auto listener_changed = listener_of(text);
  EXPECT_NE(listener_changed.content_hash, as_it_is.content_hash);
  EXPECT_EQ(listener_changed.chains.at(0).content_hash, as_it_is.chains.at(0).content_hash);
  text = {};
  text.cluster = ", alt_stat_name: x";
  EXPECT_EQ(listener_of(text).content_hash, as_it_is.content_hash);
}

TEST(TranslateListener, RefusesValuesThatItCannotServe) {
  BootstrapText text;
  text.listener =
      ", per_connection_buffer_limit_bytes: 1, bind_to_port: false, additional_addresses: [{address: {socket_address: {address: "
      "198.18.0.2, port_value: 80}}}, {address: {socket_address: {protocol: UDP, address: 198.18.0.3, port_value: 1}}}, "
      "{address: "
      "{socket_address: {address: localhost, port_value: 1}}}, {address: {socket_address: {address: 224.0.0.1, port_value: 1}}}, "
      "{address: {socket_address: {address: 198.18.0.3, port_value: 0}}}, {address: {pipe: {path: \"@\"}}}]";
  EXPECT_THAT(
      errors_of(text),
      testing::UnorderedElementsAre(
          HasSubstr("per_connection_buffer_limit_bytes: must be at least 4096, is 1"), HasSubstr("bind_to_port: must be true"),
          HasSubstr("additional_addresses[0].address: 198.18.0.2:80 is given twice"), HasSubstr("protocol: UDP is not supported"),
          HasSubstr("\"localhost\" is not an IP address"), HasSubstr("224.0.0.1 is not the address of one host"),
          HasSubstr("additional_addresses[4].address.socket_address.port_value: must be set"),
          HasSubstr("additional_addresses[5].address.pipe.path: must name a Unix socket")));
}

TEST(TranslateListener, ListensAtLoopbackAddressesAndUnixSockets) {
  BootstrapText text;
  text.listener =
      ", additional_addresses: [{address: {socket_address: {address: 127.0.0.1, port_value: 80}}}, {address: {socket_address: "
      "{address: \"::1\", port_value: 80}}}, {address: {pipe: {path: /run/edge.sock, mode: 416}}}, {address: {pipe: {path: "
      "\"@edge\"}}}]";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& listener = *snapshot->listeners.at(0);
  EXPECT_THAT(listener.addresses, ElementsAre(*SocketAddress::parse("198.18.0.2:80"), *SocketAddress::parse("127.0.0.1:80"),
                                              *SocketAddress::parse("[::1]:80"), SocketAddress::of_pipe("/run/edge.sock"),
                                              SocketAddress::of_pipe("@edge")));
  EXPECT_EQ(listener.pipe_at(listener.addresses[0]), nullptr);
  ASSERT_NE(listener.pipe_at(listener.addresses[3]), nullptr);
  EXPECT_EQ(listener.pipe_at(listener.addresses[3])->mode, 0640u);
  EXPECT_EQ(listener.address_text(listener.addresses[3]), "/run/edge.sock");
  EXPECT_EQ(listener.address_text(listener.addresses[4]), "@edge");
}

TEST(TranslateListener, AUnixSocketIsGivenOnce) {
  BootstrapText text;
  text.listener = ", additional_addresses: [{address: {pipe: {path: /x}}}, {address: {pipe: {path: /x}}}]";
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("additional_addresses[1].address: /x is given twice")));
}

}  // namespace
}  // namespace millrace::agent::test
