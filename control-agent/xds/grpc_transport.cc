#include "control-agent/xds/grpc_transport.h"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <limits>
#include <utility>

namespace millrace::agent {

namespace discovery = envoy::service::discovery::v3;
namespace load_stats = envoy::service::load_stats::v3;

namespace {

constexpr int kMostResponseBytes = 256 * 1024 * 1024;
constexpr std::chrono::seconds kLongestFarewell{5};
constexpr int kReconnectMilliseconds = 100;  // the pauses between streams are StreamSession's

constexpr const char* kLoadReports = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats";

load_stats::LoadStatsResponse take_response(load_stats::LoadStatsResponse&& response) { return std::move(response); }

std::string status_text(const grpc::Status& status) {
  static constexpr const char* kCodes[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  const auto code = static_cast<std::size_t>(status.error_code());
  const std::string name = code < std::size(kCodes) ? kCodes[code] : std::to_string(code);
  return status.error_message().empty() ? name : name + ": " + status.error_message();
}

int to_milliseconds(Duration duration) {
  return static_cast<int>(std::min<std::int64_t>(duration.to_milliseconds(), std::numeric_limits<int>::max()));
}

grpc::ChannelArguments channel_arguments(const XdsServer& server) {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kMostResponseBytes);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMilliseconds);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMilliseconds);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, to_milliseconds(server.connect_timeout));
  if (!server.keepalive_interval.is_infinite()) {
    args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, to_milliseconds(server.keepalive_interval));
    args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, to_milliseconds(server.keepalive_timeout));
    // A stream of discovery may be silent for hours, and the library would stop to ask after two pings without a request between
    // them.
    args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  if (!server.authority.empty()) args.SetString(GRPC_ARG_DEFAULT_AUTHORITY, server.authority);
  if (server.tls && !server.tls->server_name.empty()) args.SetSslTargetNameOverride(server.tls->server_name);
  return args;
}

std::shared_ptr<grpc::ChannelCredentials> credentials(const XdsServer& server) {
  if (!server.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = server.tls->trusted_ca;
  options.pem_cert_chain = server.tls->certificate_chain;
  options.pem_private_key = server.tls->private_key;
  return grpc::SslCredentials(options);
}

}  // namespace

class GrpcTransport::Stream {
 public:
  virtual ~Stream() = default;
  virtual void send(XdsRequest request) = 0;
  /// The response that came last was taken: the next may be read.
  virtual void read_on() = 0;
  virtual void cancel() = 0;
};

// The library calls the On...() functions, one after the other; the hold keeps it from ending the call while we may still write.
template <typename Request, typename Response>
class GrpcTransport::TypedStream final : public Stream, public grpc::ClientBidiReactor<Request, grpc::ByteBuffer> {
 public:
  static std::shared_ptr<Stream> start(std::shared_ptr<grpc::Channel> channel, const XdsServer& server, const std::string& method,
                                       std::shared_ptr<Inbox> inbox, XdsStreamId id) {
    auto stream = std::shared_ptr<TypedStream>(new TypedStream(std::move(channel), std::move(inbox), id));
    stream->self_ = stream;
    stream->inbox_->enter();
    for (const auto& [key, value] : server.metadata) stream->context_.AddMetadata(key, value);
    stream->stub_.PrepareBidiStreamingCall(&stream->context_, method, {}, stream.get());
    stream->AddHold();
    stream->StartRead(&stream->response_);
    stream->StartCall();
    return stream;
  }

  void send(XdsRequest request) override {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    requests_.push_back(std::move(request));
    if (requests_.size() == 1) this->StartWrite(&static_cast<const Request&>(*requests_.front()));
  }

  void read_on() override {
    const std::lock_guard lock(mutex_);
    if (!ended_) this->StartRead(&response_);
  }

  void cancel() override {
    silent_ = true;
    context_.TryCancel();
    end();
  }

  void OnReadDone(bool ok) override {
    Response response;
    if (!ok || silent_) return end();
    if (!grpc::SerializationTraits<Response>::Deserialize(&response_, &response).ok()) return fail();
    inbox_->put({.stream = id_, .what = take_response(std::move(response))});
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    if (!ok || ended_) return;
    requests_.pop_front();
    if (!requests_.empty()) this->StartWrite(&static_cast<const Request&>(*requests_.front()));
  }

  void OnDone(const grpc::Status& status) override {
    if (!silent_) inbox_->put({.stream = id_, .what = XdsStreamClosed{status_text(status)}});
    const auto inbox = inbox_;
    self_.reset();  // this may be gone
    inbox->leave();
  }

 private:
  TypedStream(std::shared_ptr<grpc::Channel> channel, std::shared_ptr<Inbox> inbox, XdsStreamId id)
      : stub_(std::move(channel)), inbox_(std::move(inbox)), id_(id) {}

  // The library would wait for the server to end the stream.
  void fail() {
    inbox_->put(
        {.stream = id_, .what = XdsStreamClosed{"a response cannot be read: it is no " + Response::descriptor()->name()}});
    silent_ = true;
    context_.TryCancel();
    end();
  }

  void end() {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = true;
    this->RemoveHold();
  }

  grpc::TemplatedGenericStub<Request, grpc::ByteBuffer> stub_;
  grpc::ClientContext context_;
  const std::shared_ptr<Inbox> inbox_;
  const XdsStreamId id_;
  grpc::ByteBuffer response_;
  std::atomic<bool> silent_{false};
  std::mutex mutex_;                 // of what is below
  std::deque<XdsRequest> requests_;  // the first is being written
  bool ended_ = false;
  std::shared_ptr<TypedStream> self_;  // until the library is done with it
};

void GrpcTransport::Inbox::put(XdsStreamEvent event) {
  const std::lock_guard lock(mutex);
  events.push_back(std::move(event));
  if (wake) wake();
}

void GrpcTransport::Inbox::enter() {
  const std::lock_guard lock(mutex);
  ++streams;
}

void GrpcTransport::Inbox::leave() {
  const std::lock_guard lock(mutex);
  --streams;
  left.notify_all();
}

void GrpcTransport::Inbox::wait_until_left() {
  std::unique_lock lock(mutex);
  left.wait_for(lock, kLongestFarewell, [this] { return streams == 0; });
}

GrpcTransport::GrpcTransport(std::function<void()> wake) : inbox_(std::make_shared<Inbox>()) { inbox_->wake = std::move(wake); }

GrpcTransport::~GrpcTransport() {
  for (const auto& [id, stream] : streams_) stream->cancel();
  streams_.clear();
  {
    const std::lock_guard lock(inbox_->mutex);
    inbox_->wake = nullptr;
  }
  // The last to let go of a channel ends the library's threads: one of them would wait for itself.
  inbox_->wait_until_left();
}

std::shared_ptr<grpc::Channel> GrpcTransport::channel(const XdsServer& server) {
  const auto known = std::ranges::find_if(channels_, [&](const auto& entry) { return entry.first == server; });
  if (known != channels_.end()) return known->second;
  return channels_.emplace_back(server, grpc::CreateCustomChannel(server.target, credentials(server), channel_arguments(server)))
      .second;
}

XdsStreamId GrpcTransport::open(const XdsServer& server, const std::string& method, XdsProtocol protocol) {
  const XdsStreamId id = next_++;
  streams_[id] = protocol == XdsProtocol::kDelta
                     ? TypedStream<discovery::DeltaDiscoveryRequest, discovery::DeltaDiscoveryResponse>::start(
                           channel(server), server, method, inbox_, id)
                     : TypedStream<discovery::DiscoveryRequest, discovery::DiscoveryResponse>::start(channel(server), server,
                                                                                                     method, inbox_, id);
  return id;
}

XdsStreamId GrpcTransport::open_load_reports(const XdsServer& server) {
  const XdsStreamId id = next_++;
  streams_[id] = TypedStream<load_stats::LoadStatsRequest, load_stats::LoadStatsResponse>::start(channel(server), server,
                                                                                                 kLoadReports, inbox_, id);
  return id;
}

void GrpcTransport::send(XdsStreamId stream, XdsRequest request) {
  if (const auto at = streams_.find(stream); at != streams_.end()) at->second->send(std::move(request));
}

void GrpcTransport::close(XdsStreamId stream) {
  const auto at = streams_.find(stream);
  if (at == streams_.end()) return;
  at->second->cancel();
  streams_.erase(at);
}

std::vector<XdsStreamEvent> GrpcTransport::take_events() {
  std::vector<XdsStreamEvent> events;
  {
    const std::lock_guard lock(inbox_->mutex);
    events.swap(inbox_->events);
  }
  std::erase_if(events, [this](const XdsStreamEvent& event) { return !streams_.contains(event.stream); });
  for (const XdsStreamEvent& event : events) {
    if (std::holds_alternative<XdsStreamClosed>(event.what)) {
      streams_.erase(event.stream);
    } else {
      streams_.at(event.stream)->read_on();
    }
  }
  return events;
}

}  // namespace millrace::agent
