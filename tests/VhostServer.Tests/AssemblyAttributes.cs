// Tests count the descriptors and mappings of this process, so no other test may run beside them.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
