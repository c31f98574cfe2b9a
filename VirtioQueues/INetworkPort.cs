namespace Paravane.VirtioQueues;

/// <summary>What a network device can do for its front door besides being an <see cref="IVirtioDevice"/>. Session context.</summary>
public interface INetworkPort
{
    /// <summary>Takes the MTU that the front-end decided on.</summary>
    /// <param name="mtuBytes">Payload of an Ethernet frame in bytes, without its header.</param>
    /// <returns>False when the device cannot carry it.</returns>
    bool TrySetMtu(ulong mtuBytes);

    /// <summary>After a migration: broadcasts one reverse-ARP frame for <paramref name="mac"/> (6 bytes) to the network side, never to the guest.</summary>
    void AnnounceByRarp(ReadOnlySpan<byte> mac);
}
