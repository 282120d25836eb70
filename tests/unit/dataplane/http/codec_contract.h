// What every codec must do, whatever its wire: a client codec and a server codec of one kind, back to back.
// A kind is a traits type: Server, Client, make-able from (Settings, ChainPool&, Events&); settings(window, limit);
// kMultiplexed: several streams at once. Instantiate with INSTANTIATE_TYPED_TEST_SUITE_P(Name, CodecContract, Traits).
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nic/heap_pool.h"
#include "tests/support/http_recorder.h"

namespace millrace::http::testing {

inline constexpr std::size_t kContractWindowBytes = 1000;
inline constexpr std::size_t kContractOutputBytes = 4000;

template <typename Traits>
class CodecContract : public ::testing::Test {
 protected:
  using Fields = std::vector<std::pair<std::string, std::string>>;

  CodecContract() {
    client_events.codec = &client;
    server_events.codec = &server;
  }

  StreamId request(const std::string& path, bool end_stream, const Fields& fields = {}) {
    const StreamId stream = client_events.open(client);
    EXPECT_NE(stream, 0U);
    ArenaMemory memory;
    RequestHead head(memory.arena, 100);
    head.method = end_stream ? "GET" : "POST";
    head.authority = "h";
    head.path = path;
    for (const auto& [name, value] : fields) EXPECT_TRUE(head.headers.add_copy(name, value));
    EXPECT_TRUE(client.send_request(stream, head, end_stream));
    return stream;
  }
  void respond(StreamId stream, std::uint16_t status, bool end_stream, const Fields& fields = {}) {
    ArenaMemory memory;
    ResponseHead head(memory.arena, 100);
    head.status = status;
    for (const auto& [name, value] : fields) EXPECT_TRUE(head.headers.add_copy(name, value));
    EXPECT_TRUE(server.send_response(stream, head, end_stream));
  }
  bool send(Codec& codec, StreamId stream, const std::string& text, bool end_stream) {
    stream::Chain data(chains);
    EXPECT_TRUE(data.append_copy(text));
    EXPECT_TRUE(codec.send_data(stream, data, end_stream));
    return data.empty();
  }
  void trailers(Codec& codec, StreamId stream, const std::string& value) {
    ArenaMemory memory;
    HeaderMap map(memory.arena, 10);
    EXPECT_TRUE(map.add_copy("t", value));
    EXPECT_TRUE(codec.send_trailers(stream, map));
  }

  /// Carries bytes both ways, in segments of `segment` bytes, until nothing moves any more.
  void exchange() {
    for (int idle = 0; idle < 3;) {
      const bool forth = carry(client, client_events, server, server_events, to_server);
      const bool back = carry(server, server_events, client, client_events, to_client);
      idle = forth || back ? 0 : idle + 1;
    }
  }
  bool carry(Codec& from, Recorder& from_events, Codec& to, Recorder& to_events, stream::Chain& wire) {
    const std::string text = text_of(from.output());
    from.output().clear();
    with_events(from_events, [&] { from.output_drained(Instant()); });
    for (std::size_t at = 0; at < text.size(); at += segment) {
      const std::string part = text.substr(at, segment);
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(part.data());
      EXPECT_TRUE(wire.append(nic::Slice(packets.copy_of({bytes, part.size()}))));
      with_events(to_events, [&] { to.receive(wire, Instant()); });
    }
    const std::size_t left = wire.size();
    with_events(to_events, [&] { to.receive(wire, Instant()); });
    return !text.empty() || wire.size() != left;
  }

  /// The server echoes each request's body and ends with it, as far as credit allows.
  void echo() {
    server_events.on_head = [this](StreamId stream, RequestHead&, bool end_stream) { respond(stream, 200, end_stream); };
    server_events.on_data = [this](StreamId stream, bool end_stream) {
      std::string& body = pending[stream];
      const std::string& all = server_events.streams[stream].body;
      body = all.substr(echoed[stream]);
      ends[stream] = end_stream;
      push_echo(stream);
    };
    server_events.on_credit = [this](StreamId stream) { push_echo(stream); };
  }
  void push_echo(StreamId stream) {
    stream::Chain data(chains);
    EXPECT_TRUE(data.append_copy(pending[stream]));
    const std::size_t before = data.size();
    EXPECT_TRUE(server.send_data(stream, data, ends[stream]));
    const std::size_t sent = before - data.size();
    echoed[stream] += sent;
    pending[stream].erase(0, sent);
  }

  nic::HeapPool packets{100'000};
  stream::ChainPool chains{packets, 0, 1'000'000};
  RecordingClient client_events;
  RecordingServer server_events;
  typename Traits::Client client{Traits::settings(kContractWindowBytes, kContractOutputBytes), chains, client_events};
  typename Traits::Server server{Traits::settings(kContractWindowBytes, kContractOutputBytes), chains, server_events};
  stream::Chain to_server{chains};
  stream::Chain to_client{chains};
  std::size_t segment = 1460;
  std::map<StreamId, std::string> pending;
  std::map<StreamId, std::size_t> echoed;
  std::map<StreamId, bool> ends;
};

TYPED_TEST_SUITE_P(CodecContract);

TYPED_TEST_P(CodecContract, CarriesARequestAndItsResponse) {
  for (std::size_t bytes : {1UL, 2UL, 7UL, 1460UL}) {
    this->segment = bytes;
    const StreamId stream = this->request("/a?b", true, {{"x", "1"}});
    this->exchange();
    const StreamId at_server = this->server_events.streams.rbegin()->first;
    const Seen& request = this->server_events.streams[at_server];
    EXPECT_TRUE(request.head.starts_with("GET |h|/a?b\nx: 1\n")) << request.head;
    EXPECT_TRUE(request.ended);
    this->respond(at_server, 200, false, {{"y", "2"}});
    this->send(this->server, at_server, "hello", true);
    EXPECT_FALSE(request.complete) << "send_ functions cause no events";
    this->exchange();
    EXPECT_TRUE(request.complete);
    const Seen& response = this->client_events.streams[stream];
    EXPECT_TRUE(response.head.starts_with("200\ny: 2\n")) << response.head;
    EXPECT_EQ(response.body, "hello");
    EXPECT_TRUE(response.ended && response.complete);
  }
}

TYPED_TEST_P(CodecContract, CarriesInformationalResponsesBeforeTheFinalOne) {
  const StreamId stream = this->request("/", true);
  this->exchange();
  this->respond(1, 103, false, {{"link", "a"}});
  this->exchange();
  EXPECT_EQ(this->client_events.streams[stream].informational, "103 link: a\n;");
  EXPECT_FALSE(this->client_events.streams[stream].has_head);
  this->respond(1, 204, true);
  this->exchange();
  EXPECT_TRUE(this->client_events.streams[stream].complete);
}

TYPED_TEST_P(CodecContract, CarriesTrailersBothWays) {
  const StreamId stream = this->request("/", false);
  this->send(this->client, stream, "body", false);
  this->trailers(this->client, stream, "there");
  this->exchange();
  EXPECT_EQ(this->server_events.streams[1].body, "body");
  EXPECT_EQ(this->server_events.streams[1].trailers, "t: there\n");
  this->respond(1, 200, false);
  this->trailers(this->server, 1, "back");
  this->exchange();
  EXPECT_EQ(this->client_events.streams[stream].trailers, "t: back\n");
  EXPECT_TRUE(this->client_events.streams[stream].complete);
  EXPECT_TRUE(this->server_events.streams[1].complete);
}

TYPED_TEST_P(CodecContract, EchoesALargeBodyFromInsideEvents) {
  std::string body;
  for (int i = 0; body.size() < 50'000; ++i) body += std::to_string(i) + ",";
  this->echo();
  const StreamId stream = this->request("/", false);
  std::size_t sent = 0;
  const auto push = [&](StreamId) {
    stream::Chain data(this->chains);
    EXPECT_TRUE(data.append_copy(body.substr(sent)));
    const std::size_t before = data.size();
    EXPECT_LE(this->client.send_credit(stream), kContractOutputBytes);
    EXPECT_TRUE(this->client.send_data(stream, data, true));
    sent += before - data.size();
  };
  this->client_events.on_credit = push;
  push(stream);
  EXPECT_LT(sent, body.size()) << "credit is bounded";
  EXPECT_EQ(this->client.send_credit(stream), 0U);
  this->exchange();
  EXPECT_EQ(this->server_events.streams[1].body, body);
  EXPECT_EQ(this->client_events.streams[stream].body, body);
  EXPECT_TRUE(this->client_events.streams[stream].complete);
  EXPECT_TRUE(this->server_events.streams[1].complete);
  EXPECT_GT(this->client_events.streams[stream].credits, 0);
}

TYPED_TEST_P(CodecContract, DeliversNoMoreThanTheWindowUntilConsumed) {
  this->server_events.auto_consume = false;
  const StreamId stream = this->request("/", false);
  const std::string body(3 * kContractWindowBytes, 'b');
  std::size_t sent = 0;
  const auto push = [&] {
    stream::Chain data(this->chains);
    EXPECT_TRUE(data.append_copy(body.substr(sent)));
    const std::size_t before = data.size();
    EXPECT_TRUE(this->client.send_data(stream, data, true));
    sent += before - data.size();
  };
  for (std::size_t turn = 1; turn <= 3; ++turn) {
    if (sent < body.size()) push();
    this->exchange();
    EXPECT_EQ(this->server_events.streams[1].body.size(), turn * kContractWindowBytes);
    this->server.consumed(1, kContractWindowBytes);
    this->exchange();
    if (turn < 3 && sent == body.size()) {
      EXPECT_EQ(this->server_events.streams[1].body.size(), (turn + 1) * kContractWindowBytes);
    }
  }
  EXPECT_TRUE(this->server_events.streams[1].ended);
}

TYPED_TEST_P(CodecContract, SaysNothingMoreOfAStreamThatWasResetFromInsideAnEvent) {
  // At each of the server's events in turn; the recorder frees the arena at once and fails on any later event.
  for (int where = 0; where < 3; ++where) {
    RecordingServer events;
    typename TypeParam::Server fresh(TypeParam::settings(kContractWindowBytes, kContractOutputBytes), this->chains, events);
    RecordingClient peer_events;
    typename TypeParam::Client peer(TypeParam::settings(kContractWindowBytes, kContractOutputBytes), this->chains, peer_events);
    events.codec = &fresh;
    peer_events.codec = &peer;
    const auto give_up = [&](int here, StreamId stream) {
      if (where == here) events.reset_stream(stream);
    };
    events.on_head = [&](StreamId stream, RequestHead&, bool) { give_up(0, stream); };
    events.on_data = [&](StreamId stream, bool end_stream) { give_up(end_stream ? 2 : 1, stream); };
    const StreamId stream = peer_events.open(peer);
    ArenaMemory memory;
    RequestHead head(memory.arena, 100);
    head.method = "POST";
    head.authority = "h";
    head.path = "/";
    ASSERT_TRUE(peer.send_request(stream, head, false));
    for (bool last : {false, true}) {
      this->send(peer, stream, "data", last);
      this->carry(peer, peer_events, fresh, events, this->to_server);
    }
    EXPECT_TRUE(events.streams[1].was_reset);
    // Its id is dead: these do nothing.
    EXPECT_EQ(fresh.send_credit(1), 0U);
    fresh.consumed(1, 0);
    fresh.reset_stream(1);
    with_events(events, [&] { fresh.output_drained(Instant()); });
    with_events(events, [&] { fresh.end_of_input(Instant()); });
    this->to_server.clear();
  }
}

TYPED_TEST_P(CodecContract, TheClientMayResetFromInsideItsEvents) {
  for (int where = 0; where < 2; ++where) {
    this->client_events.on_head = [&](StreamId stream, ResponseHead&, bool) {
      if (where == 0) this->client_events.reset_stream(stream);
    };
    this->client_events.on_data = [&](StreamId stream, bool) {
      if (where == 1) this->client_events.reset_stream(stream);
    };
    if (!this->client.can_open_stream()) break;  // HTTP/1: the first reset has ended the connection
    this->request("/", true);
    this->exchange();
    const StreamId at_server = this->server_events.streams.rbegin()->first;
    this->respond(at_server, 200, false);
    this->send(this->server, at_server, "data", false);
    this->exchange();
    EXPECT_TRUE(this->client_events.streams.rbegin()->second.was_reset);
  }
}

TYPED_TEST_P(CodecContract, OpensTheNextStreamFromInsideTheEndOfTheLast) {
  int left = 5;
  this->server_events.on_end = [this](StreamId stream) { this->respond(stream, 200, true); };
  this->client_events.on_complete = [&](StreamId) {
    if (--left > 0 && this->client.can_open_stream()) this->request("/", true);
  };
  this->request("/", true);
  this->exchange();
  EXPECT_EQ(left, 0);
  EXPECT_EQ(this->server_events.streams.size(), 5U);
}

TYPED_TEST_P(CodecContract, EndOfInputResetsOpenStreams) {
  const StreamId stream = this->request("/", false);
  this->exchange();
  with_events(this->server_events, [this] { this->server.end_of_input(Instant()); });
  with_events(this->client_events, [this] { this->client.end_of_input(Instant()); });
  EXPECT_TRUE(this->server_events.streams[1].was_reset);
  EXPECT_TRUE(this->client_events.streams[stream].was_reset);
  EXPECT_TRUE(this->server.wants_close());
  EXPECT_TRUE(this->client.wants_close());
  EXPECT_FALSE(this->client.can_open_stream());
}

TYPED_TEST_P(CodecContract, DrainingFinishesWhatIsOpenThenWantsToClose) {
  const StreamId stream = this->request("/", true);
  this->exchange();
  this->server.start_drain();
  this->server.start_drain();
  EXPECT_FALSE(this->server.wants_close());
  this->respond(1, 200, true);
  this->exchange();
  EXPECT_TRUE(this->client_events.streams[stream].complete);
  EXPECT_TRUE(this->server.wants_close());
  EXPECT_FALSE(this->client.can_open_stream());
}

TYPED_TEST_P(CodecContract, RefusedStreamsCostNoArena) {
  this->server_events.refuse = true;
  this->request("/", true);
  this->exchange();
  EXPECT_TRUE(this->server_events.streams.empty());
  this->server_events.refuse = false;
}

TYPED_TEST_P(CodecContract, InterleavesAsManyStreamsAsItSays) {
  this->echo();
  std::vector<StreamId> open;
  for (int i = 0; i < 3 && this->client.can_open_stream(); ++i) open.push_back(this->request("/" + std::to_string(i), false));
  EXPECT_EQ(open.size(), TypeParam::kMultiplexed ? 3U : 1U);
  for (int round = 0; round < 4; ++round) {
    for (StreamId stream : open)
      this->send(this->client, stream, std::to_string(stream) + std::to_string(round) + " ", round == 3);
    this->exchange();
  }
  for (StreamId stream : open) {
    std::string expected;
    for (int round = 0; round < 4; ++round) expected += std::to_string(stream) + std::to_string(round) + " ";
    EXPECT_EQ(this->client_events.streams[stream].body, expected);
    EXPECT_TRUE(this->client_events.streams[stream].complete);
  }
}

REGISTER_TYPED_TEST_SUITE_P(CodecContract, CarriesARequestAndItsResponse, CarriesInformationalResponsesBeforeTheFinalOne,
                            CarriesTrailersBothWays, EchoesALargeBodyFromInsideEvents, DeliversNoMoreThanTheWindowUntilConsumed,
                            SaysNothingMoreOfAStreamThatWasResetFromInsideAnEvent, TheClientMayResetFromInsideItsEvents,
                            OpensTheNextStreamFromInsideTheEndOfTheLast, EndOfInputResetsOpenStreams,
                            DrainingFinishesWhatIsOpenThenWantsToClose, RefusedStreamsCostNoArena,
                            InterleavesAsManyStreamsAsItSays);

}  // namespace millrace::http::testing
