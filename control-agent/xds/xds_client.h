// The xDS client: asks the control planes that the bootstrap and the resources themselves name, brings what they answer to the
// publisher, and acknowledges or rejects it. Has no thread, no socket and no clock: who drives it says what time it is, and
// events come from its transport. Sources: Envoy's "xDS REST and gRPC protocol"; field notes in docs/xds.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control-agent/discovery/discovery_report.h"
#include "control-agent/discovery/file_discovery.h"
#include "control-agent/discovery/snapshot_publisher.h"
#include "control-agent/last_good/stand_in.h"
#include "control-agent/secrets/secret_store.h"
#include "control-agent/xds/intake.h"
#include "control-agent/xds/load_reporter.h"
#include "control-agent/xds/stream_session.h"
#include "control-agent/xds/transport.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {

class DiscoveredSecrets;

/// For the log.
struct XdsReport {
  std::string server;
  std::optional<ResourceType> type;  ///< nothing: it is about the stream
  std::string version;
  std::size_t resources = 0;
  std::size_t removed = 0;
  std::string error;               ///< why it is rejected, or why the stream ended; empty: accepted
  bool stands_in = false;          ///< nobody has sent it: it is of the last good configuration
  std::size_t unknown_fields = 0;  ///< messages that were taken with fields of another version of the API
  std::vector<ConfigError> warnings;
};

/// What the client needs of the gateway; all of it outlives the client.
struct XdsSurroundings {
  const envoy::config::bootstrap::v3::Bootstrap& bootstrap;
  const envoy::config::core::v3::Node& node;
  SnapshotPublisher& publisher;
  SecretStore& secrets;
  DiscoveredSecrets& discovered;
  XdsTransport& transport;
  bool reject_unknown_fields = false;  ///< --reject-unknown-dynamic-fields
};

/// is_warm(), is_complete(), stats(), unknown_fields(), control_planes(), load_reports(), refused() and secrets() are for any
/// thread, the others for one.
class XdsClient {
 public:
  /// `bootstrap` has been checked: check_control_planes(). `last_good` stands in for servers that say nothing at the start.
  XdsClient(const XdsSurroundings& surroundings, std::uint64_t seed, LastGood last_good = {});
  ~XdsClient();

  /// Takes what has come, asks for what is missing, gives up what has not come in time. To be called after next_timeout(), after
  /// events, and when the world has changed.
  void service(Instant now);
  [[nodiscard]] Instant next_timeout() const;

  /// The control plane has said what there is at first, or was waited for long enough: the gateway may serve.
  [[nodiscard]] bool is_warm() const;
  /// Warm, and clusters and listeners are what somebody has said, not what was waited for in vain: worth to be kept.
  [[nodiscard]] bool is_complete() const;
  [[nodiscard]] SubscriptionTable stats() const;
  /// So many messages had fields of another version of the API, and were taken without them.
  [[nodiscard]] std::uint64_t unknown_fields() const;
  /// By name of the stream: "ads", or the api_config_source's.
  [[nodiscard]] std::map<std::string, SessionStats> control_planes() const;
  /// What was refused last of resources whose last update was.
  [[nodiscard]] RefusedTable refused() const;
  /// Those that are asked for; without content as long as they have not come.
  [[nodiscard]] std::vector<DynamicResource> secrets() const;
  /// Nothing: nobody wants to hear of load.
  [[nodiscard]] std::optional<LoadReporterStats> load_reports() const;
  /// What has happened since the last call.
  [[nodiscard]] std::vector<XdsReport> take_reports() { return std::move(reports_); }

 private:
  using Batch = SnapshotPublisher::Batch;
  /// A type from a source.
  using SubscriptionKey = std::pair<ResourceType, std::string>;
  struct Channel {
    std::string source;  ///< source_key(): empty for ads
    std::unique_ptr<StreamSession> session;
  };
  struct Wanted {
    NameTable<std::shared_ptr<const envoy::config::core::v3::ConfigSource>> names;  ///< and whom to ask
  };

  // A removed cluster goes this much later: servers may take it away before the routes that lead there, and requests on their
  // way need it still.
  static constexpr Duration kClusterFarewell = Duration::seconds(5);

  void start_load_reports();
  void open_channels(const envoy::config::core::v3::ConfigSource& source, ResourceType type);
  [[nodiscard]] Channel* find_channel(ResourceType type, const std::string& source);
  void take_event(XdsStreamEvent& event, Instant now);
  void take_load_event(const XdsStreamEvent& event, Instant now);
  void take(Channel& channel, ResourceType type, XdsResponse& response, Instant now);
  void bring(ResourceType type, const std::string& source, XdsResponse& response, XdsReport& report, Rejection& rejection,
             Instant now);
  template <typename Message>
  void bring_all(NamedResources<Message> Resources::* table, ResourceType type, const std::string& source, XdsResponse& response,
                 XdsReport& report, Rejection& rejection, Instant now);
  template <typename Message>
  void bring_named(KeyedResources<Message> Resources::* table, ResourceType type, const std::string& source,
                   XdsResponse& response, XdsReport& report, Rejection& rejection);
  void bring_scopes(const std::string& source, XdsResponse& response, XdsReport& report, Rejection& rejection);
  void bring_secrets(const std::string& source, XdsResponse& response, XdsReport& report, Rejection& rejection);
  void note_refused(ResourceType type, const std::string& source, const XdsResponse& response, const Rejection& rejection);
  void note_secret(const SecretName& name, const ResourcePtr<SecretMessage>& secret);
  void follow_secrets();
  void note_lifetimes(ResourceType type, const std::string& source, const XdsResponse& response, Instant now);
  void follow_world(Instant now);
  void ask(ResourceType type, const std::string& source, const Wanted& wanted, Instant now);
  void forget_unwanted();
  void stand_in(Instant now);
  void stand_in_for_all(const KindKey& kind, Instant now);
  void stand_in_for_rejected(const KindKey& kind, const XdsResponse& response, Instant now);
  void recall(const KindKey& kind, XdsResponse response, Instant now);
  void give_up_late(Instant now);
  void remove_due(Instant now);
  void remove_resource(ResourceType type, const std::string& source, const std::string& name);
  void update_warmth(Instant now);
  [[nodiscard]] bool is_held(const World& world, const KindKey& kind, const std::string& name) const;
  [[nodiscard]] bool is_known(const World& world, ResourceType type, const std::string& source, const std::string& name) const;

  const XdsSurroundings around_;
  Rng rng_;
  std::map<SubscriptionKey, std::unique_ptr<Channel>> by_type_;  // of api_config_sources
  std::unique_ptr<Channel> ads_;
  std::unique_ptr<LoadReporter> load_reporter_;  // null: nobody wants to hear of load
  std::map<SubscriptionKey, Wanted> wanted_;
  std::map<std::pair<SubscriptionKey, std::string>, Instant> fetch_deadlines_;  // of what has not come yet
  std::map<std::pair<SubscriptionKey, std::string>, Instant> lifetimes_;        // of what has a time to live
  std::map<std::string, Instant> departing_clusters_;                           // removed, but for their requests
  Instant serviced_at_ = {};
  std::uint64_t followed_ = 0;  // a fingerprint of what was followed last
  bool has_followed_ = false;
  bool clusters_known_ = false;  // the first response has come, or the wait is over
  bool listeners_asked_ = false;
  bool listeners_known_ = false;
  std::set<ResourceType> given_up_;  // clusters, listeners: that nobody has said
  StandIn stand_in_;                 // until everything is warm
  std::vector<XdsReport> reports_;

  mutable std::mutex mutex_;  // of what is below
  bool warm_ = false;
  bool complete_ = false;
  std::uint64_t unknown_fields_ = 0;
  SubscriptionTable stats_;
  std::map<std::string, SessionStats> planes_;
  std::optional<LoadReporterStats> load_reports_;
  RefusedTable refused_;
  std::map<SecretName, ResourcePtr<SecretMessage>> secrets_;  // null: it has not come
};

/// Whether the control planes that the bootstrap names can be asked. Errors at their fields.
void check_control_planes(const envoy::config::bootstrap::v3::Bootstrap& bootstrap, Diagnostics& diagnostics);
/// Does it name any for resources?
[[nodiscard]] bool has_control_plane(const envoy::config::bootstrap::v3::Bootstrap& bootstrap);

}  // namespace millrace::agent
