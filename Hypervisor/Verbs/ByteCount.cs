using Paravane.VhostServer.Hosting;

namespace Paravane.Hypervisor.Verbs;

/// <summary>A size as an option value; shown in help and in messages the way it is typed.</summary>
internal readonly record struct ByteCount(ulong Bytes)
{
    /// <inheritdoc/>
    public override string ToString() => ByteSize.Format(Bytes);
}
