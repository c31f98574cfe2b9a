namespace Paravane.Backends.Net.Tests;

/// <summary>A frame as the driver got it.</summary>
/// <param name="Header">The header before it.</param>
/// <param name="Frame">Its bytes, put together from all its buffers.</param>
internal sealed record Received(NetHeader Header, byte[] Frame);
