import Scheduler
import Testing
import Wire

private let noVictims = "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."

@Test("the more important pod first, then who came first")
func order() throws {
  var state = SchedulerState(seed: 1)
  state.add(try pod("low-1"), try pod("low-2"), try pod("high", spec: ["priority": 1000]))
  state.add(try node("n"))
  #expect(state.decisions() == ["high → n", "low-1 → n", "low-2 → n"])
}

@Test("gated pods, pods of other schedulers and pods that are being deleted are left alone")
func leftAlone() throws {
  var state = SchedulerState(seed: 1)
  state.add(try node("n"))
  state.add(try pod("gated", spec: ["schedulingGates": [["name": "g"]]]))
  state.add(try pod("other", spec: ["schedulerName": "mine"]))
  state.add(try pod("going", deleting: true))
  #expect(state.decisions() == [])
  state.add(try pod("gated"))
  #expect(state.decisions() == ["gated → n"])
}

@Test("a refused pod says so once, wakes when a node can take it, and not before")
func wakes() throws {
  var state = SchedulerState(seed: 1)
  state.add(try pod("p", spec: requests(cpu: "3")))
  #expect(state.decisions() == ["p: no nodes available to schedule pods"])
  #expect(!state.hasWork)
  state.add(try node("small", cpu: "2"))
  #expect(
    state.decisions() == [
      "p: 0/1 nodes are available: 1 Insufficient cpu. "
        + "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    ])
  state.add(try node("small", cpu: "1"))
  #expect(state.decisions() == [], "the same words are not said twice")
  var spec = requests(cpu: "2")
  spec["nodeName"] = "big"
  state.add(try pod("holder", spec: spec))
  state.add(try node("big", cpu: "4"))
  #expect(
    state.decisions() == [
      "p: 0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: "
        + "1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
    ])
  state.apply(.podDeleted(ObjectKey(namespace: "default", name: "holder")), now: .zero)
  #expect(state.decisions() == ["p → big"])
  #expect(state.nextWake == .seconds(30), "only the reservation's deadline is left")
}

@Test("a finished pod frees its node")
func finished() throws {
  var state = SchedulerState(seed: 1)
  state.add(try node("n", cpu: "1"))
  state.add(try pod("a", spec: requests(cpu: "1")), try pod("b", spec: requests(cpu: "1")))
  #expect(state.decisions() == ["a → n", "b: 0/1 nodes are available: 1 Insufficient cpu. \(noVictims)"])
  var spec = requests(cpu: "1")
  spec["nodeName"] = "n"
  state.add(try pod("a", spec: spec))
  #expect(state.decisions() == [])
  state.add(try pod("a", spec: spec, status: ["phase": "Succeeded"]))
  #expect(state.decisions() == ["b → n"])
}

@Test("a binding that fails goes back after 1, 2, 4, 8 and then 10 s, and its reservation is free meanwhile")
func bindingFails() throws {
  var state = SchedulerState(seed: 1)
  state.add(try node("n", cpu: "1"))
  state.add(try pod("p", spec: requests(cpu: "1")))
  var now = Duration.zero
  for wait in [1, 2, 4, 8, 10, 10] {
    #expect(state.decisions(now: now) == ["p → n"])
    state.apply(.bindingFailed(ObjectKey(namespace: "default", name: "p"), uid: "uid-p"), now: now)
    #expect(state.node(of: ObjectKey(namespace: "default", name: "p")) == nil)
    #expect(state.decisions(now: now) == [])
    #expect(state.nextWake == now + .seconds(wait))
    #expect(state.decisions(now: now + .seconds(wait) - .nanoseconds(1)) == [])
    now += .seconds(wait)
  }
}

@Test("a reservation that nothing confirms is given up at its deadline; one that is confirmed stays")
func deadline() throws {
  var state = SchedulerState(seed: 1)
  state.add(try node("n", cpu: "2"))
  state.add(try pod("lost", spec: requests(cpu: "1")), try pod("kept", spec: requests(cpu: "1")))
  #expect(state.decisions() == ["lost → n", "kept → n"])
  var spec = requests(cpu: "1")
  spec["nodeName"] = "n"
  state.add(try pod("kept", spec: spec))
  #expect(state.decisions(now: .seconds(30)) == [])
  #expect(state.nextWake == .seconds(31))
  #expect(state.decisions(now: .seconds(31)) == ["lost → n"])
}

@Test("somebody else bound the pod: the reservation moves to the node that it really has")
func boundElsewhere() throws {
  var state = SchedulerState(seed: 1)
  state.add(try node("a", cpu: "1"))
  state.add(try pod("p", spec: requests(cpu: "1")))
  #expect(state.decisions() == ["p → a"])
  state.add(try node("b", cpu: "1"))
  var spec = requests(cpu: "1")
  spec["nodeName"] = "b"
  state.add(try pod("p", spec: spec))
  state.add(try pod("q", spec: requests(cpu: "1")))
  #expect(state.decisions() == ["q → a"])
}

@Test("a pod made anew under the same name is another pod")
func recreated() throws {
  var state = SchedulerState(seed: 1)
  state.add(try node("n", cpu: "1"))
  state.add(try pod("p", spec: requests(cpu: "1")))
  #expect(state.decisions() == ["p → n"])
  var again = try pod("p", spec: requests(cpu: "1"))
  again.uid = "another"
  state.add(again)
  #expect(state.decisions() == ["p → n"])
}

@Test("pods on a node that is not known yet count as soon as it appears")
func podBeforeNode() throws {
  var state = SchedulerState(seed: 1)
  var spec = requests(cpu: "1")
  spec["nodeName"] = "n"
  state.add(try pod("early", spec: spec))
  state.add(try pod("p", spec: requests(cpu: "1")))
  state.add(try node("n", cpu: "1"))
  #expect(state.decisions() == ["p: 0/1 nodes are available: 1 Insufficient cpu. \(noVictims)"])
}
