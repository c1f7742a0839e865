// Explorer walks the requests of one kind, coordinate by coordinate, and finds the cells that a
// question asks for.
//
// At each coordinate the values are cut by the languages of the items that are still possible;
// classes that leave the same items over are one way on. What cannot make a difference any more is
// dropped, and what was seen before is not walked again, so that the work follows what overlaps
// and not what there is. The result is a decision diagram of the wanted cells alone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "authz/prove/items.h"
#include "authz/prove/space.h"
#include "authz/prove/value_set.h"
#include "base/status.h"

namespace countersign::authz::prove {

// Question says which cells are wanted.
struct Question {
  // For each set of roles that items of a cell play: a mark of the region that it belongs to, or 0
  // for a cell that is not wanted. Its size is a power of two.
  std::vector<uint8_t> marks;
  // Only what an item of the focus matches can be wanted. Never narrower than that.
  std::function<bool(Roles)> in_focus;
  // One cell is enough.
  bool first_only = false;
};

// Diagram is a decision diagram of wanted cells. Nodes below kFirstNode are ends: the mark. Node 0
// is nothing. An edge leads from a node to another for the values of its set; sets of one node do
// not overlap.
struct Diagram {
  struct Edge {
    uint32_t values = 0;  // In the ValueTable.
    uint32_t child = 0;
    auto operator<=>(const Edge&) const = default;
  };
  static constexpr uint32_t kFirstNode = 256;
  std::vector<std::vector<Edge>> nodes;
  const std::vector<Edge>& at(uint32_t node) const { return nodes[node - kFirstNode]; }
};

// Explorer is for one question about one kind of connection.
class Explorer {
 public:
  Explorer(Space& space, ValueTable& values, std::span<const Item> items, const Question& question);

  // Run gives the root. Fails with kResourceExhausted over a limit, naming what met there.
  StatusOr<uint32_t> Run(Diagram& diagram);
  size_t cells() const { return cells_; }

 private:
  using Numbers = std::vector<uint32_t>;

  struct Need {
    uint32_t level = 0;
    uint32_t predicate = 0;
  };
  // Part is an item's own conjunct or one of its exceptions; exceptions follow their item.
  struct Part {
    uint32_t item = 0;
    bool exception = false;
    std::vector<Need> needs;  // By level.
    uint32_t NextLevel(uint32_t from) const;
  };
  struct State {
    Numbers alive;  // Parts, ascending.
    Roles yes = 0;  // Played for sure.
    // The trust domains of the callee and of the caller, in the ValueTable, while some item asks
    // for the mesh.
    uint32_t callee_domains = UINT32_MAX;
    uint32_t caller_domains = UINT32_MAX;
  };
  // Group is the values that lead to one state.
  struct Group {
    Numbers passed;
    uint32_t domains = UINT32_MAX;
    Numbers classes;
    bool absent = false;
    std::vector<Outcome> repeated;
  };
  // Level is one coordinate at one state.
  struct Level {
    uint32_t number = 0;
    Axis axis = Axis::kCallee;
    Numbers free;       // Parts that ask nothing here.
    Numbers asking;     // Parts that do.
    Numbers languages;  // The Space's, ascending.
    // Parts that stand for several by the union of their languages.
    std::map<uint32_t, uint32_t> joined;
    Numbers many;  // Those of predicates over several values.
    language::Partition* partition = nullptr;
    std::map<std::pair<Numbers, uint32_t>, size_t> group_numbers;
    std::vector<Group> groups;
    bool everything = true;  // No class was left out.
    std::map<Outcome, std::vector<std::string>> outcomes;
  };

  void OrderCoordinates();
  void PrepareMarks();
  std::optional<uint32_t> Settle(const State& state) const;
  void Reduce(State& state, uint32_t next_level) const;
  bool AsksForMesh(const State& state) const;
  StatusOr<uint32_t> Explore(State state, uint32_t level);
  StatusOr<uint32_t> ExploreMesh(const State& state);
  StatusOr<uint32_t> ExploreValues(const State& state, uint32_t level);
  Status Gather(const State& state, Level& level);
  bool Focus(const State& state, Level& level, Numbers& focus) const;
  Status Cut(const State& state, Level& level);
  bool JoinLast(const State& state, Level& level);
  Numbers LanguagesAsked(const Level& level, uint32_t part) const;
  Status GroupClasses(Level& level, bool with_domains);
  void GroupAbsent(Level& level);
  Status GroupRepeated(Level& level);
  Status FindOutcomes(Level& level);
  void AddTo(Level& level, Numbers passed, uint32_t domains,
             const std::function<void(Group&)>& add);
  bool HoldsRepeated(const Part& part, const Level& level, const Outcome& outcome) const;
  StatusOr<uint32_t> Follow(const State& state, Level& level);
  StatusOr<uint32_t> MakeValues(const Level& level, const Group& group);
  // Once is what several classes of a partition come to as a set of values.
  struct Once {
    uint32_t language = 0;
    std::vector<Phrase> phrases;
    std::string sample;
  };
  const Once& OnceOf(const Level& level, const Numbers& classes);
  uint32_t DomainsOf(const Level& level, uint32_t class_number);
  uint32_t AddNode(std::vector<Diagram::Edge> edges);
  Status GaveUp(const Status& why, const Level& level) const;

  Space& space_;
  ValueTable& values_;
  std::span<const Item> items_;
  const Question& question_;
  Diagram* diagram_ = nullptr;
  std::vector<uint32_t> order_;  // Coordinates by level.
  std::vector<Part> parts_;
  std::vector<Roles> irrelevant_;  // By roles played: those that make no difference any more.
  std::map<Numbers, uint32_t> memo_;
  std::map<std::vector<Diagram::Edge>, uint32_t> node_numbers_;
  std::map<std::pair<const language::Partition*, Numbers>, Once> once_;
  std::map<std::pair<const language::Partition*, uint32_t>, uint32_t> domains_;
  size_t cells_ = 0;
  size_t steps_ = 0;
};

}  // namespace countersign::authz::prove
