using Paravane.Backends.Block.Spec;

namespace Paravane.Backends.Block.Tests;

/// <summary>What came back for one request.</summary>
/// <param name="Writable">All writable bytes, in order; the status is the last.</param>
/// <param name="UsedBytes">The used length.</param>
internal sealed record Answer(byte[] Writable, uint UsedBytes)
{
    public BlkStatus Status => (BlkStatus)Writable[^1];

    public byte[] Data => Writable[..^1];
}
