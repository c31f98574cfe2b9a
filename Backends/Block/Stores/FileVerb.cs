namespace Paravane.Backends.Block.Stores;

/// <summary>What a request on a file wants.</summary>
internal enum FileVerb : byte
{
    /// <summary>Sectors into buffers.</summary>
    Read,

    /// <summary>Buffers into sectors.</summary>
    Write,

    /// <summary>Durability of earlier writes.</summary>
    Flush,

    /// <summary>Storage given back.</summary>
    Discard,

    /// <summary>Zeroes.</summary>
    Zero,
}
