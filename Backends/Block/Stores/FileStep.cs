namespace Paravane.Backends.Block.Stores;

/// <summary>The operation that a request on a file waits for.</summary>
internal enum FileStep : byte
{
    /// <summary>A read or write of what is left.</summary>
    Transfer,

    /// <summary>The current segment as a hole.</summary>
    Punch,

    /// <summary>The current segment zeroed by the file system.</summary>
    ZeroRange,

    /// <summary>The current segment zeroed by writing, where the file system cannot.</summary>
    ZeroWrite,

    /// <summary>fdatasync.</summary>
    Sync,
}
