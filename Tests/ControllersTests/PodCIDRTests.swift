import Controllers
import Testing

@Test("nodes get the lowest free block of the cluster's, until there is none")
func blocks() throws {
  let allocator = try #require(PodCIDRAllocator("10.42.0.0/22"))
  var used: Set<String> = []
  for expected in ["10.42.0.0/24", "10.42.1.0/24", "10.42.2.0/24", "10.42.3.0/24"] {
    #expect(allocator.next(used: used) == expected)
    used.insert(expected)
  }
  #expect(allocator.next(used: used) == nil)
  used.remove("10.42.1.0/24")
  #expect(allocator.next(used: used) == "10.42.1.0/24")
}

@Test(
  "what is no block, or too small for a node, is refused",
  arguments: ["", "10.42.0.0", "10.42.0.0/25", "10.42.0/16", "10.256.0.0/16", "10.0.0.0/4", "fd00::/48"])
func refused(text: String) { #expect(PodCIDRAllocator(text) == nil) }
