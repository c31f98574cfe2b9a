namespace Paravane.VirtioQueues;

/// <summary>The event index rule, <c>vring_need_event</c> (virtio 1.2 §2.7.7.2).</summary>
public static class EventIdx
{
    /// <summary>True when moving from <paramref name="oldIndex"/> to <paramref name="newIndex"/> passed the entry the other side asked to hear of.</summary>
    public static bool IsDue(ushort eventIndex, ushort newIndex, ushort oldIndex) =>
        unchecked((ushort)(newIndex - eventIndex - 1) < (ushort)(newIndex - oldIndex));

    /// <summary>The same for packed rings (virtio 1.2 §2.8.21): positions are slots, and a wrap counter tells the laps apart.</summary>
    /// <param name="eventWord">Offset and wrap counter as the other side wrote them: bits 0–14 and 15.</param>
    /// <param name="newPosition">Next slot, after the batch.</param>
    /// <param name="newWrap">Its wrap counter.</param>
    /// <param name="slots">Slots that the batch moved over.</param>
    /// <param name="queueSize">Queue size in descriptors.</param>
    public static bool IsDuePacked(ushort eventWord, ushort newPosition, bool newWrap, ushort slots, int queueSize)
    {
        int position = eventWord & 0x7fff;
        if (newWrap != ((eventWord & 0x8000) != 0))
        {
            position -= queueSize;
        }

        return unchecked((ushort)(newPosition - position - 1) < slots);
    }
}
