namespace Paravane.Backends.Block.Tests;

/// <summary>Where the sectors of a disk under test live, and how they are reached.</summary>
public enum Medium
{
    /// <summary>Private memory.</summary>
    Ram,

    /// <summary>A file through the page cache and io_uring.</summary>
    Cached,

    /// <summary>A file where the kernel has no io_uring.</summary>
    WithoutIoUring,

    /// <summary>A file past the page cache.</summary>
    Direct,

    /// <summary>A file through the page cache, with guest memory registered.</summary>
    Pinned,

    /// <summary>A file past the page cache, with guest memory registered.</summary>
    DirectPinned,

    /// <summary>A file on tmpfs.</summary>
    InMemory,
}
